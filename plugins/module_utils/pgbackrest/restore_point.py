# SPDX-License-Identifier: Apache-2.0
"""Restore points: a named place in the WAL stream that is known to have reached the archive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, sql, wait_until
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import require_point

MAKE = """
with made as materialized (select pg_create_restore_point('{name}') as lsn)
select json_build_object(
  'name', '{name}', 'lsn', lsn, 'file', pg_walfile_name(lsn), 'system_id', (select system_identifier::text from pg_control_system()),
  'time', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'archives', current_setting('archive_mode'))
from made
"""
LOOK = """
select json_build_object('archived', last_archived_wal, 'failed', last_failed_wal, 'at', last_failed_time, 'times', failed_count)
from pg_stat_archiver
"""


def make(host: Mapping[str, Any], name: str, timeout: float) -> dict[str, Any]:
    """Make the restore point ``name`` and wait up to ``timeout`` seconds until it is archived. Raises HostError.

    Returns {name, system_id, timeline, lsn, time}.
    """
    require_point(name)
    made = json.loads(sql(host, MAKE.format(name=name)))
    file, archives = made.pop("file"), made.pop("archives")
    if archives == "off":
        raise HostError(f"restore point {name}: this server does not archive its WAL (archive_mode); run provision.yml")
    sql(host, "select pg_switch_wal()")
    if not wait_until(lambda: archived(look(host)["archived"], file), timeout):
        raise HostError(unarchived(name, file, timeout, look(host)))
    return {**made, "timeline": int(file[:8], 16)}


def look(host: Mapping[str, Any]) -> dict[str, Any]:
    """Return the archiver's own counters."""
    found: dict[str, Any] = json.loads(sql(host, LOOK))
    return found


def archived(last: str | None, file: str) -> bool:
    """Whether the WAL file is in the archive, by the last one that is; the archiver takes them in order.

    Files of another timeline say nothing, and the last one may be a timeline's history or a backup's label.
    """
    return last is not None and len(last) >= len(file) and last[:8] == file[:8] and last[:24] >= file


def unarchived(name: str, file: str, timeout: float, archiver: Mapping[str, Any]) -> str:
    """Why there is no restore point, in one line."""
    failed = (
        f"its last failure is {archiver['failed']} at {archiver['at']} ({archiver['times']} in all)"
        if archiver["failed"]
        else "it has reported no failure"
    )
    return (
        f"restore point {name}: WAL file {file} was not archived within {timeout:g} s. The archiver got as far as {archiver['archived'] or 'nothing'}; "
        f"{failed}. See playbooks/backup/status.yml"
    )
