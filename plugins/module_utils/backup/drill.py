# SPDX-License-Identifier: Apache-2.0
"""A restore drill: the newest backup brought up beside the live cluster, looked through, measured and thrown away.

A backup counts only when a restore of it was proved. The verdict is one of three; what could not be tried is not proved.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from ansible_collections.sluice.stack.plugins.module_utils.backup import repository as backup_repository
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    DRILL_RECORD,
    STATE,
    HostError,
    as_postgres,
    free_bytes,
    last_on,
    repositories,
    sql,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, write_json

PROVED, FAILED, COULD_NOT_RUN = "proved", "failed", "could not run"
RECORD = DRILL_RECORD
EXIT = {PROVED: 0, FAILED: 1, COULD_NOT_RUN: 2}
# Beside the database's own size: WAL that is replayed, and what the file system needs for itself.
ROOM_FACTOR, ROOM_BYTES = 1.2, 512 * 2**20


class Broken(Exception):
    """The backup cannot be restored, or what came out of it is not right."""


class Prevented(Exception):
    """The drill could not be tried; nothing is known about the backup."""


def run(host: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Restore the newest backup of the repository called ``name``; the record, which is also kept on the host."""
    record: dict[str, Any] = {
        "repository": name,
        "begun": time.time(),
        "backup": None,
        "size": None,
        "rto_seconds": None,
        "rpo_seconds": None,
        "amcheck_seconds": None,
        "timeline": None,
        "lsn": None,
        "checks": [],
    }
    with locked(os.path.join(STATE, "drill.lock")):
        try:
            _try(host, name, record)
            record |= {
                "verdict": PROVED,
                "reason": f"{record['backup']} from {name} restored in {record['rto_seconds']:.1f} s, "
                f"{record['rpo_seconds']:.1f} s of changes lost, {len(record['checks'])} checks passed",
            }
        except Broken as error:
            record |= {"verdict": FAILED, "reason": str(error)}
        except (Prevented, HostError, OSError) as error:
            record |= {"verdict": COULD_NOT_RUN, "reason": str(error)}
        finally:
            backup_scratch.remove(backup_scratch.at(host, host["drill_directory"]))
        record["ended"] = time.time()
        write_json(RECORD, record)
    return record


def raise_for(failure: Failure, name: str) -> NoReturn:
    """Raise what a repository's failure means for a drill."""
    message = f"{name}: {failure.message}"
    raise Prevented(message) if failure.kind == "unreachable" else Broken(message)


def chosen(host: Mapping[str, Any], name: str) -> tuple[Repository, Backup]:
    """The repository and its newest backup. Raises Broken or Prevented."""
    repository = next(item for item in repositories(host) if item.name == name)
    if repository.failure:
        raise_for(repository.failure, name)
    if repository.newest is None:
        raise Broken(f"{name}: it holds no backup")
    return repository, repository.newest


def _try(host: Mapping[str, Any], name: str, record: dict[str, Any]) -> None:
    folder = host["drill_directory"]
    backup_scratch.remove(backup_scratch.at(host, folder))
    repository, backup = chosen(host, name)
    record |= {"backup": backup.label, "size": backup.size}
    needed, free = int(backup.size * ROOM_FACTOR + ROOM_BYTES), free_bytes(folder)
    if free < needed:
        raise Prevented(
            f"drill_directory {folder} has {free / 2**30:.1f} GiB free and the drill needs {needed / 2**30:.1f}; "
            "make room, or set backup_drill_directory to a larger file system"
        )
    scratch = backup_scratch.at(host, folder)
    try:
        backup_scratch.restore(
            scratch,
            repository,
            "--archive-mode=off",
            f"--tablespace-map-all={folder}/tablespaces",
            f"--recovery-option=restore_command={backup_scratch.fetch(scratch, repository.number)}",
            seconds=host["drill_seconds"],
        )
        backup_scratch.start_alone(scratch, host["drill_seconds"])
    except backup_scratch.RestoreFailed as error:
        raise_for(error.failure, name)
    except backup_scratch.RecoveryFailed as error:
        raise Broken(str(error)) from error
    record["rto_seconds"] = time.time() - record["begun"]
    _compare_with_archive(scratch, repository, record)
    _measure_loss(scratch, record)
    _look_through(scratch, record)


def _compare_with_archive(scratch: Mapping[str, Any], repository: Repository, record: dict[str, Any]) -> None:
    name = sql(scratch, "select max(name) from pg_ls_waldir() where name like '%.history'")
    timeline, end = backup_repository.parent(sql(scratch, f"select pg_read_file('pg_wal/{name}')"))
    segment_bytes = int(sql(scratch, "select setting from pg_settings where name = 'wal_segment_size'"))
    record |= {"timeline": timeline, "lsn": end}
    last = last_on(scratch, repository, timeline)
    missing = backup_repository.hole(timeline, end, last, segment_bytes)
    if missing:
        raise Broken(
            f"{repository.name}: WAL file {missing} is missing: the recovery ended at {end}, and the archive goes to {last}"
        )


def _measure_loss(scratch: Mapping[str, Any], record: dict[str, Any]) -> None:
    there = sql(scratch, "select to_regclass('sluice.heartbeat') is not null") == "t"
    beat = sql(scratch, "select extract(epoch from beat) from sluice.heartbeat") if there else ""
    if not beat:
        raise Broken("the restored data has no heartbeat, so nobody knows what was lost; is sluice-heartbeat running?")
    # The archive gave all it had when the recovery ended: this is what a loss of the host at that moment would have cost.
    record["rpo_seconds"] = max(0.0, record["begun"] + record["rto_seconds"] - float(beat))
    limit = scratch["drill_max_rpo_seconds"]
    if record["rpo_seconds"] > limit:
        raise Broken(
            f"the restored data ends {record['rpo_seconds']:.0f} s before the recovery ended, more than {limit} s "
            "(backup_drill_max_rpo_seconds): WAL is not archived in time, or the heartbeat stands still"
        )


def _look_through(scratch: Mapping[str, Any], record: dict[str, Any]) -> None:
    begun = time.time()
    done = as_postgres(
        [
            f"/usr/lib/postgresql/{scratch['version']}/bin/pg_amcheck",
            *("--host", scratch["socket"], "--port", str(scratch["port"]), "--maintenance-db", "postgres"),
            *("--all", "--install-missing", "--heapallindexed"),
        ],
        timeout=scratch["drill_seconds"],
    )
    record["amcheck_seconds"] = time.time() - begun
    if done.code:
        raise Broken(f"pg_amcheck found damage in the restored data: {done.said.splitlines()[0]}")
    for check in scratch["drill_checks"]:
        try:
            answer = sql(scratch, check["query"], check["database"], scratch["drill_seconds"])
        except HostError as error:
            answer = str(error)
        record["checks"].append({"name": check["name"], "passed": answer == "t"})
        if answer != "t":
            raise Broken(f"check {check['name']} in {check['database']}: the answer is {answer!r} and not true")
