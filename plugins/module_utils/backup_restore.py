# SPDX-License-Identifier: Apache-2.0
"""A restore of this host's cluster: planned from what the repositories and the host say, and carried out only as planned."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import backup_repository
from ansible_collections.sluice.stack.plugins.module_utils import backup_restore_plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.backup_host import (
    STATE,
    USER,
    HostError,
    control_data,
    free_bytes,
    repositories,
    restore_files,
    sql,
    systemctl,
    wait_until,
)
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, write_json

RECORD = os.path.join(STATE, "restore.json")
# What writes to the cluster or reads the repositories by itself.
UNITS = (
    "sluice-heartbeat.service",
    "sluice-backup@full.timer",
    "sluice-backup@incr.timer",
    "sluice-backup@drill.timer",
)
JOBS = ("sluice-backup@full.service", "sluice-backup@incr.service", "sluice-backup@drill.service")
STOP_SECONDS = 600.0
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
    if system is not None and os.listdir(os.path.join(host["data"], "pg_tblspc")):
        raise plans.Refused(
            "the cluster has tablespaces, whose old contents this program does not move aside; use pgbackrest itself"
        )
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
    needed = int(backup.size * ROOM_FACTOR + ROOM_BYTES)
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


def carry_out(
    host: Mapping[str, Any], wanted: plans.Target, name: str, timeline: str, confirmed: str
) -> dict[str, Any]:
    """Restore as the plan ``confirmed`` said; the record, which is also kept on the host. Raises NotConfirmed, plans.Refused or HostError."""
    made = plan(host, wanted, name, timeline)
    if made["id"] != confirmed:
        raise NotConfirmed(
            f"restore_confirm={confirmed} is not the plan, which is {made['id']}: something has changed since, or it is another one's; "
            f"read it, then confirm with -e restore_confirm={made['id']}"
        )
    # What would be waited for: a restore is more urgent than a drill or a backup.
    systemctl("stop", *JOBS, seconds=STOP_SECONDS)
    with locked(os.path.join(STATE, "drill.lock")):
        begun = time.time()
        stopped = [unit for unit in UNITS if systemctl("is-active", "--quiet", unit) == 0]
        for unit in (*stopped, host["unit"]):
            if systemctl("stop", unit, seconds=STOP_SECONDS):
                raise HostError(f"{unit} could not be stopped; nothing was changed: systemctl status {unit}")
        if os.path.exists(host["data"]):
            os.rename(host["data"], made["aside"])
        back = _way_back(host, made)
        try:
            _restore(host, made, wanted)
            _recover(host)
        except HostError as error:
            raise HostError(f"{error}. What was there before is kept; to go back to it: {back}") from error
        record = {**made, "begun": begun, "seconds": time.time() - begun, "back": back, **_end(host)}
        if record["new_timeline"] <= backup_repository.timeline_of(made["last_wal"] or "00000000"):
            raise HostError(
                f"the server runs on timeline {record['new_timeline']}, which is not new; to go back: {back}"
            )
        write_json(RECORD, record)
        for unit in stopped:
            systemctl("start", unit)
        return record


def _way_back(host: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    if not os.path.exists(made["aside"]):
        return "(there was nothing before)"
    return (
        f"systemctl stop {host['unit']}; mv {host['data']} {host['data']}.left-{made['id']}; "
        f"mv {made['aside']} {host['data']}; systemctl start {host['unit']}; sluice-backup full"
    )


def _restore(host: Mapping[str, Any], made: Mapping[str, Any], wanted: plans.Target) -> None:
    os.mkdir(host["data"], mode=0o700)
    shutil.chown(host["data"], USER, USER)
    number = made["number"]
    fetch = f'pgbackrest --stanza={host["stanza"]} --repo={number} archive-get %f "%p"'
    done = restore_files(
        host,
        made["timeline"],
        f"--repo={number}",
        f"--set={made['backup']}",
        f"--recovery-option=restore_command={fetch}",
        *plans.pgbackrest_arguments(wanted),
        timeout=RESTORE_SECONDS,
    )
    if done.code:
        raise HostError(f"{made['repository']}: {backup_repository.explain(done.said, readable=True).message}")


def _recover(host: Mapping[str, Any]) -> None:
    """Start the server and wait until it has recovered and takes writes."""
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


def _end(host: Mapping[str, Any]) -> dict[str, Any]:
    """Where the restored server stands, and the moment of its last heartbeat."""
    timeline, system = sql(
        host,
        "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int, system_identifier from pg_control_system()",
    ).split("|")
    there = sql(host, "select to_regclass('sluice.heartbeat') is not null") == "t"
    beat = sql(host, "select extract(epoch from beat) from sluice.heartbeat") if there else ""
    return {"new_timeline": int(timeline), "new_system_id": int(system), "beat": float(beat) if beat else None}
