# SPDX-License-Identifier: Apache-2.0
"""A restore of this host's cluster: planned from what the repositories and the host say, and carried out only as planned."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import closed
from ansible_collections.sluice.stack.plugins.module_utils.backup import repository as backup_repository
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STATE,
    USER,
    HostError,
    as_postgres,
    control_data,
    free_bytes,
    sql,
    systemctl,
    wait_until,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.pgbackrest import repositories, restore_files
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, write_json
from ansible_collections.sluice.stack.plugins.module_utils.postgres.standby import FLOORS, at_least

RECORD = os.path.join(STATE, "restore.json")
# A person watches, and a large database takes its time.
RESTORE_SECONDS = 48 * 3600.0
ROOM_FACTOR, ROOM_BYTES = 1.2, 256 * 2**20


class NotConfirmed(Exception):
    """The plan that was confirmed is not the one that would be carried out."""


def plan(host: Mapping[str, Any], wanted: plans.Target, name: str, timeline: str) -> dict[str, Any]:
    """What would be done now. Raises plans.Refused or HostError."""
    if not os.path.isdir(f"/etc/postgresql/{host['version']}/main"):
        raise HostError(f"this host has no cluster {host['version']}/main to restore; run provision.yml first")
    now = time.time()
    repository, backup = plans.choose(repositories(host), wanted, name)
    here = control_data(host, host["data"])
    system = int(here["Database system identifier"]) if here else None
    if system is not None:
        refuse_tablespaces(host)
    archived = _archived_at(host)
    facts = {
        "host": socket.gethostname(),
        "stanza": host["stanza"],
        "kind": wanted.kind,
        "value": wanted.value,
        "timeline": timeline,
        "repository": repository.name,
        "backup": backup.label,
        "data": host["data"],
        "system_id": backup.system_id,
        "here": {"system_id": system},
    }
    identity = plans.identity(facts)
    needed = room(backup)
    found = {
        **facts,
        "id": identity,
        "words": wanted.words,
        "number": repository.number,
        "backup_ended": backup.ended,
        "size": backup.size,
        "last_wal": repository.last_wal,
        "aside": f"{host['data']}.before-{identity}",
        "needed": needed,
        "free": free_bytes(os.path.dirname(host["data"])),
        "lost": plans.lost(
            wanted, repository.last_wal, archived, archived is not None, system == backup.system_id, now
        ),
    }
    if found["free"] < needed:
        raise plans.Refused(
            f"{os.path.dirname(host['data'])} has {found['free'] / 2**30:.1f} GiB free and the restore needs {needed / 2**30:.1f} beside "
            "what is there, which is kept; make room"
        )
    if os.path.exists(found["aside"]):
        raise plans.Refused(
            f"{found['aside']} is there: this very restore was done before; remove it when nobody needs it"
        )
    return found


def _archived_at(host: Mapping[str, Any]) -> float | None:
    """When the server last shipped WAL, 0 when never; None when no server answers."""
    try:
        return float(sql(host, "select coalesce(extract(epoch from last_archived_time), 0) from pg_stat_archiver") or 0)
    except HostError:
        return None


def execute(host: Mapping[str, Any], wanted: plans.Target, name: str, timeline: str, confirmed: str) -> dict[str, Any]:
    """Restore as the plan ``confirmed`` said; the record, which is also kept on the host. Raises NotConfirmed, plans.Refused or HostError."""
    made = plan(host, wanted, name, timeline)
    if made["id"] != confirmed:
        raise NotConfirmed(
            f"restore_confirm={confirmed} is not the plan, which is {made['id']}: something has changed since, or it is another one's; "
            f"read it, then confirm with -e restore_confirm={made['id']}"
        )
    # What would be waited for.
    closed.stop_units()
    with locked(os.path.join(STATE, "drill.lock")):
        begun = time.time()
        if systemctl("stop", host["unit"], seconds=closed.STOP_SECONDS):
            raise HostError(
                f"{host['unit']} could not be stopped; nothing was changed: systemctl status {host['unit']}"
            )
        if os.path.exists(host["data"]):
            os.rename(host["data"], made["aside"])
        back = down_required(made["aside"], made["id"])
        try:
            _restore(host, made, wanted)
            recover(host)
        except HostError as error:
            raise HostError(f"{error}. What was there before is kept; to go back to it: {back}") from error
        record = {
            **made,
            "moment": wanted.moment or begun,
            "begun": begun,
            "seconds": time.time() - begun,
            "back": back,
            **end(host),
        }
        if record["new_timeline"] <= backup_repository.timeline_of(made["last_wal"] or "00000000"):
            raise HostError(
                f"the server runs on timeline {record['new_timeline']}, which is not new; to go back: {back}"
            )
        write_json(RECORD, record)
        closed.start_units()
        return record


def down_required(aside: str, identity: str) -> str:
    """The command that goes back to what was moved ``aside``."""
    if not os.path.exists(aside):
        return "(there was nothing before)"
    return f"sluice-backup back --restore {identity} && sluice-backup full"


def refuse_tablespaces(host: Mapping[str, Any]) -> None:
    """Raise plans.Refused when the cluster has data outside its directory."""
    if os.listdir(os.path.join(host["data"], "pg_tblspc")):
        raise plans.Refused(
            "the cluster has tablespaces, whose old contents this program does not move aside; use pgbackrest itself"
        )


def room(backup: Backup) -> int:
    """The bytes that a restore of a backup needs."""
    return int(backup.size * ROOM_FACTOR + ROOM_BYTES)


def recovery(host: Mapping[str, Any], number: int, label: str, wanted: plans.Target) -> list[str]:
    """What pgBackRest is told so that the server, where it lives, recovers to ``wanted`` from this repository and opens for writing."""
    fetch = f'pgbackrest --stanza={host["stanza"]} --repo={number} archive-get %f "%p"'
    return [f"--set={label}", f"--recovery-option=restore_command={fetch}", *plans.pgbackrest_arguments(wanted)]


def _restore(host: Mapping[str, Any], made: Mapping[str, Any], wanted: plans.Target) -> None:
    os.mkdir(host["data"], mode=0o700)
    shutil.chown(host["data"], USER, USER)
    done = restore_files(
        host,
        made["timeline"],
        f"--repo={made['number']}",
        *recovery(host, made["number"], made["backup"], wanted),
        timeout=RESTORE_SECONDS,
    )
    if done.code:
        raise HostError(f"{made['repository']}: {backup_repository.explain(done.said, readable=True).message}")


# What a recovery is told. Left behind, a standby that is copied from the server would stop where the server did.
TARGETS = tuple(f"recovery_target{kind}" for kind in ("", "_time", "_name", "_lsn", "_xid"))
_TOLD = ("restore_command", "recovery_target_timeline", "recovery_target_action", *TARGETS)


def enlarge(host: Mapping[str, Any]) -> list[str]:
    """Let a server that is set to less than the one its data come from be as large until it has recovered: it would stop half-way.

    The settings that are raised, in the data's own file. Raises HostError.
    """
    configured = {name: _configured(host, name) for name in FLOORS.values()}
    needed = at_least(configured, control_data(host, host["data"]))
    raised = {name: value for name, value in needed.items() if value != configured[name]}
    with open(os.path.join(host["data"], "postgresql.auto.conf"), "a", encoding="utf-8") as handle:
        handle.writelines(f"{name} = {value}\n" for name, value in raised.items())
    return list(raised)


def _configured(host: Mapping[str, Any], name: str) -> str:
    """A setting as the server would begin with it."""
    folder = f"/etc/postgresql/{host['version']}/main"
    done = as_postgres([f"/usr/lib/postgresql/{host['version']}/bin/postgres", "-D", folder, "-C", name])
    if done.code:
        raise HostError(f"the settings in {folder} are not understood: {done.said}")
    return done.out.strip()


def recover(host: Mapping[str, Any]) -> None:
    """Start the server and wait until it has recovered and takes writes; it keeps nothing of what it was told for that. Raises HostError."""
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
    sql(host, "".join(f"alter system reset {name};" for name in (*_TOLD, *raised)))
    if raised:
        # Read again, the server knows that these wait for a restart, and provisioning asks it. Otherwise nothing is worth one.
        sql(host, "select pg_reload_conf()")


def end(host: Mapping[str, Any]) -> dict[str, Any]:
    """Where the restored server stands, and the moment of its last heartbeat."""
    system = sql(host, "select system_identifier from pg_control_system()")
    there = sql(host, "select to_regclass('sluice.heartbeat') is not null") == "t"
    beat = sql(host, "select extract(epoch from beat) from sluice.heartbeat") if there else ""
    return {
        "new_timeline": timeline(host),
        "new_system_id": int(system),
        "beat": float(beat) if beat else None,
    }


def timeline(host: Mapping[str, Any]) -> int:
    """The timeline a server that takes writes is on."""
    return int(sql(host, "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"))
