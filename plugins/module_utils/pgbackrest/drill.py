# SPDX-License-Identifier: Apache-2.0
"""A restore drill with pgBackRest: the newest backup and all WAL since, compared with what the archive holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import drill
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.drill import Broken
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client, output

Host = Mapping[str, Any]


def trial(host: Host, name: str, record: dict[str, Any]) -> None:
    """Restore the newest backup of the repository ``name`` and check it. Raises Broken, RepositoryError or HostError."""
    scratch = backup_scratch.at(host, host["drill_directory"])
    backup_scratch.remove(scratch)
    repository, backup = client.newest(host, name)
    record |= {"backup": backup.label, "size": backup.size}
    backup_scratch.require_space(scratch["socket"], backup.size)
    try:
        client.copy(scratch, repository)
    except backup_scratch.RecoveryFailed as error:
        raise Broken(str(error)) from error
    record["rto_seconds"] = time.time() - record["begun"]
    _compare_with_archive(scratch, repository, record)
    # The archive gave everything it had by the end of the recovery: a loss of the host at that moment would have cost the rest.
    drill.check(scratch, record, record["begun"] + record["rto_seconds"], "backup_drill_max_rpo_seconds")


def _compare_with_archive(scratch: Host, repository: Repository, record: dict[str, Any]) -> None:
    name = sql(scratch, "select max(name) from pg_ls_waldir() where name like '%.history'")
    timeline, end = output.parent(sql(scratch, f"select pg_read_file('pg_wal/{name}')"))
    segment_bytes = int(sql(scratch, "select setting from pg_settings where name = 'wal_segment_size'"))
    record |= {"timeline": timeline, "lsn": end}
    last = client.last_on(scratch, repository, timeline)
    missing = output.hole(timeline, end, last, segment_bytes)
    if missing:
        raise Broken(
            f"{repository.name}: WAL file {missing} is missing: the recovery ended at {end}, and the archive goes to {last}"
        )
