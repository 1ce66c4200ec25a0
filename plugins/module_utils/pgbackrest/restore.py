# SPDX-License-Identifier: Apache-2.0
"""A restore of this host's cluster in its place, as it was planned; the data from before are moved aside."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_plan, write_lock
from ansible_collections.sluice.stack.plugins.module_utils.backup.drill import last_heartbeat
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STATE,
    USER,
    HostError,
    as_postgres,
    control_data,
    require_space,
    sql,
    stop_unit,
    systemctl,
    wait_until,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Refused, Target
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, write_json
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import output
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest.client import repositories, restore_files
from ansible_collections.sluice.stack.plugins.module_utils.postgres.standby import FLOORS, at_least

RECORD = os.path.join(STATE, "restore.json")
# A large database takes its time, and somebody watches.
RESTORE_SECONDS = 48 * 3600.0
SPACE_FACTOR, SPACE_BYTES = 1.2, 256 * 2**20
Host = Mapping[str, Any]


def choose(host: Host, target: Target, name: str) -> tuple[Repository, Backup]:
    """Return the backup to start from: the newest that had ended by the target's moment. Raises Refused."""
    what = f"backup to restore {summary(target)} from"
    return restore_plan.choose(
        repositories(host), name, lambda item: target.moment is None or item.ended <= target.moment, what
    )


def summary(target: Target) -> str:
    """Return the target for people."""
    if target.kind == "time":
        return f"time {when(target.moment or 0)}"
    return "the last change in the archive" if target.kind == "latest" else f"restore point {target.value}"


def plan(host: Host, asked: argparse.Namespace) -> dict[str, Any]:
    """Plan a restore; nothing is changed. Raises HostError."""
    target = restore_plan.target(asked.time, asked.point, time.time())
    if not os.path.isdir(f"/etc/postgresql/{host['version']}/main"):
        raise HostError(f"this host has no cluster {host['version']}/main to restore; run provision.yml first")
    repository, backup = choose(host, target, asked.repository)
    current = control_data(host, host["data"])
    system = int(current["Database system identifier"]) if current else None
    if system is not None:
        refuse_tablespaces(host)
    facts = {
        "host": socket.gethostname(),
        "stanza": host["stanza"],
        "kind": target.kind,
        "value": target.value,
        "timeline": asked.timeline,
        "repository": repository.name,
        "backup": backup.label,
        "data": host["data"],
        "system_id": backup.system_id,
        "current": {"system_id": system},
    }
    identity = restore_plan.identity(facts)
    aside = f"{host['data']}.before-{identity}"
    if os.path.exists(aside):
        raise Refused(f"{aside} exists: this very restore was done before; remove it when nobody needs it")
    archived = _archived_at(host)
    return {
        **facts,
        "id": identity,
        "summary": summary(target),
        "moment": target.moment,
        "number": repository.number,
        "backup_ended": backup.ended,
        "size": backup.size,
        "last_wal": repository.last_wal,
        "aside": aside,
        "space": [require_restore_space(host, backup, "the restore")],
        "lost": lost(target, repository.last_wal, archived, system == backup.system_id, time.time()),
    }


def require_restore_space(host: Host, backup: Backup, what: str) -> dict[str, Any]:
    """Return the space for a restored cluster next to the live one, which ``what`` takes. Raises HostError when there is too little."""
    return require_space(os.path.dirname(host["data"]), int((backup.size or 0) * SPACE_FACTOR + SPACE_BYTES), what)


def _archived_at(host: Host) -> float | None:
    """When the server last shipped WAL, 0 when never; None when no server answers."""
    try:
        return float(sql(host, "select coalesce(extract(epoch from last_archived_time), 0) from pg_stat_archiver") or 0)
    except HostError:
        return None


def lost(target: Target, last_wal: str | None, archived_at: float | None, same: bool, now: float) -> str:
    """Return what the restored data will lack, in one phrase.

    ``archived_at`` is when the server last shipped WAL, None when none runs; ``same`` whether it is the cluster that is restored.
    """
    if target.kind == "time":
        return f"all changes of the last {(now - (target.moment or now)) / 60:.1f} minutes"
    if target.kind == "point":
        return f"all changes since the restore point, which was set after {when(target.moment or 0)}"
    if archived_at is not None and same:
        return "nothing: the server ships what it has before it is stopped"
    since = f", shipped {now - archived_at:.0f} s ago" if archived_at else ""
    return f"changes after the last WAL file in the archive, {last_wal}{since}"


def described(found: Mapping[str, Any]) -> list[str]:
    """Return a plan for people, a line each."""
    system = found["current"]["system_id"]
    if system is None:
        now = "there is no cluster in it"
    elif system != found["system_id"]:
        now = f"another cluster (system {system}) is in it; it is moved aside to {found['aside']}"
    else:
        now = f"what is in it is moved aside to {found['aside']}"
    origin = (
        f"{found['repository']}, backup {found['backup']} of {when(found['backup_ended'])}, system {found['system_id']}, "
        f"{found['size'] / 2**20:.1f} MiB; WAL up to {found['last_wal']}"
    )
    return restore_plan.described(found, origin, f"{found['data']} on {found['host']}: {now}")


def execute(host: Host, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Execute a plan; the record, which is also kept on the host. Raises HostError."""
    # A backup or drill that runs would be waited for.
    write_lock.stop_units()
    with locked(os.path.join(STATE, "drill.lock")):
        begun = time.time()
        stop_unit(host["unit"])
        if os.path.exists(host["data"]):
            os.rename(host["data"], plan["aside"])
        revert = revert_command(plan["aside"], plan["id"])
        try:
            _restore(host, plan)
            recover(host)
        except HostError as error:
            raise HostError(f"{error}. The previous data are kept; to revert: {revert}") from error
        record = {
            **plan,
            "moment": plan["moment"] or begun,
            "begun": begun,
            "seconds": time.time() - begun,
            "revert": revert,
            "aside": plan["aside"] if os.path.exists(plan["aside"]) else "",
            **end(host),
        }
        if record["new_timeline"] <= output.timeline_of(plan["last_wal"] or "00000000"):
            raise HostError(
                f"the server runs on timeline {record['new_timeline']}, which is not new; to revert: {revert}"
            )
        write_json(RECORD, record)
        write_lock.start_units()
        line = f"restored {plan['summary']} in {record['seconds']:.1f} s; the server takes writes on timeline {record['new_timeline']}"
        return {**record, "lines": [line]}


def revert_command(aside: str, identity: str) -> str:
    """Return the command that puts what was moved ``aside`` in place again."""
    if not os.path.exists(aside):
        return "(there was nothing before)"
    return f"sluice-backup revert --restore {identity} && sluice-backup full"


def refuse_tablespaces(host: Host) -> None:
    """Raise Refused when the cluster has data outside its directory."""
    if os.listdir(os.path.join(host["data"], "pg_tblspc")):
        raise Refused(
            "the cluster has tablespaces, whose old contents this program does not move aside; use pgbackrest itself"
        )


def recovery(host: Host, number: int, label: str, kind: str, value: str) -> list[str]:
    """Return pgBackRest's options for a server that recovers to a target from this repository and then takes writes."""
    fetch = f'pgbackrest --stanza={host["stanza"]} --repo={number} archive-get %f "%p"'
    options = [f"--set={label}", f"--recovery-option=restore_command={fetch}"]
    if kind == "latest":
        return options
    return [*options, f"--type={'time' if kind == 'time' else 'name'}", "--target-action=promote", f"--target={value}"]


def _restore(host: Host, plan: Mapping[str, Any]) -> None:
    os.mkdir(host["data"], mode=0o700)
    shutil.chown(host["data"], USER, USER)
    options = recovery(host, plan["number"], plan["backup"], plan["kind"], plan["value"])
    # Nobody uses the host meanwhile: it restores with all its cores.
    options.append(f"--process-max={max(host['jobs'], os.cpu_count() or 1)}")
    done = restore_files(host, plan["timeline"], f"--repo={plan['number']}", *options, timeout=RESTORE_SECONDS)
    if done.code:
        raise HostError(f"{plan['repository']}: {output.explain(done.output, readable=True).message}")


# The settings of a recovery. Left behind, a standby that is copied from the server would stop where the server did.
TARGETS = tuple(f"recovery_target{kind}" for kind in ("", "_time", "_name", "_lsn", "_xid"))
_RECOVERY = ("restore_command", "recovery_target_timeline", "recovery_target_action", *TARGETS)


def enlarge(host: Host) -> list[str]:
    """Let a server that is set to less than the one its data come from be as large until it has recovered: it would stop half-way.

    The settings that are raised, in the data's own file. Raises HostError.
    """
    configured = {name: _configured(host, name) for name in FLOORS.values()}
    needed = at_least(configured, control_data(host, host["data"]))
    raised = {name: value for name, value in needed.items() if value != configured[name]}
    with open(os.path.join(host["data"], "postgresql.auto.conf"), "a", encoding="utf-8") as handle:
        handle.writelines(f"{name} = {value}\n" for name, value in raised.items())
    return list(raised)


def _configured(host: Host, name: str) -> str:
    """A setting as the server would begin with it."""
    folder = f"/etc/postgresql/{host['version']}/main"
    done = as_postgres([f"/usr/lib/postgresql/{host['version']}/bin/postgres", "-D", folder, "-C", name])
    if done.code:
        raise HostError(f"the settings in {folder} are not understood: {done.output}")
    return done.out.strip()


def recover(host: Host) -> None:
    """Start the server and wait until it has recovered and takes writes; the settings for that are removed. Raises HostError."""
    raised = enlarge(host)
    log = f"/var/log/postgresql/postgresql-{host['version']}-main.log"
    before = os.path.getsize(log) if os.path.exists(log) else 0
    systemctl("start", "--no-block", host["unit"])
    ended = False

    def ready() -> bool:
        nonlocal ended
        ended = systemctl("is-failed", "--quiet", host["unit"]) == 0
        try:
            return ended or sql(host, "select not pg_is_in_recovery()") == "t"
        except HostError:
            return False

    if not wait_until(ready, RESTORE_SECONDS) or ended:
        with open(log, encoding="utf-8", errors="replace") as handle:
            handle.seek(before)
            lines = [line.strip() for line in handle if "FATAL" in line and "starting up" not in line]
        raise HostError(f"the recovery did not finish: {(lines or ['see ' + log])[-1]}")
    sql(host, "".join(f"alter system reset {name};" for name in (*_RECOVERY, *raised)))
    if raised:
        # Read again, the server knows that these wait for a restart, and provisioning asks it. Otherwise nothing is worth one.
        sql(host, "select pg_reload_conf()")


def end(host: Host) -> dict[str, Any]:
    """Return where the restored server stands, and the moment of its last heartbeat."""
    system = sql(host, "select system_identifier from pg_control_system()")
    return {"new_timeline": timeline(host), "new_system_id": int(system), "heartbeat": last_heartbeat(host)}


def timeline(host: Host) -> int:
    """The timeline a server that takes writes is on."""
    return int(sql(host, "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"))
