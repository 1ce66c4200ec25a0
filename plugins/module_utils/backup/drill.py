# SPDX-License-Identifier: Apache-2.0
"""A restore drill: the newest backup of pgBackRest brought up beside the live cluster, looked through, measured and thrown away."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn

from ansible_collections.sluice.stack.plugins.module_utils.backup import pgbackrest, verdict
from ansible_collections.sluice.stack.plugins.module_utils.backup import repository as backup_repository
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.pgbackrest import last_on, repositories
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.verdict import (
    ROOM_BYTES,
    ROOM_FACTOR,
    Broken,
    Prevented,
)


def run(host: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Restore the newest backup of the repository called ``name``; the record, which is also kept on the host."""
    return verdict.judged(host, name, _try)


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
    verdict.require_disk_space(folder, int(backup.size * ROOM_FACTOR + ROOM_BYTES))
    scratch = backup_scratch.at(host, folder)
    try:
        pgbackrest.restore_beside(
            scratch,
            repository,
            "--archive-mode=off",
            f"--tablespace-map-all={folder}/tablespaces",
            f"--recovery-option=restore_command={pgbackrest.fetch(scratch, repository.number)}",
            seconds=host["drill_seconds"],
        )
        backup_scratch.start_singleton(scratch, host["drill_seconds"])
    except pgbackrest.RestoreFailed as error:
        raise_for(error.failure, name)
    except backup_scratch.RecoveryFailed as error:
        raise Broken(str(error)) from error
    record["rto_seconds"] = time.time() - record["begun"]
    _compare_with_archive(scratch, repository, record)
    # The archive gave all it had when the recovery ended: this is what a loss of the host at that moment would have cost.
    verdict.measure_loss(scratch, record, record["begun"] + record["rto_seconds"])
    limit = scratch["drill_max_rpo_seconds"]
    if record["rpo_seconds"] > limit:
        raise Broken(
            f"the restored data ends {record['rpo_seconds']:.0f} s before the recovery ended, more than {limit} s "
            "(backup_drill_max_rpo_seconds): WAL is not archived in time, or the heartbeat stands still"
        )
    verdict.look_through(scratch, record)


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
