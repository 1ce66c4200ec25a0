# SPDX-License-Identifier: Apache-2.0
"""Compare a scratch cluster with the live one, row by row, over every database: what a rewind would revert."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import rows, sql
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import row_diff
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest.row_diff import Count, Pair, Table

Host = Mapping[str, Any]
T = TypeVar("T")
_LARGE_OBJECTS = "select exists (select from pg_largeobject_metadata)"


def differences(before: Host, now: Host) -> dict[str, Any]:
    """What has changed from ``before`` to ``now``, both described by socket and port. Raises HostError.

    ``tables`` has only those that differ: database.schema.table → {inserted, updated, deleted}. ``bags`` are those of them without a primary key on
    both sides, ``schema`` and ``left_out`` are lines for people, ``compared`` is how many tables were looked at.
    """
    found: dict[str, Any] = {"tables": {}, "bags": [], "schema": [], "left_out": [], "compared": 0}
    old, new = _databases(before), _databases(now)
    for database in sorted({*old, *new}):
        if database not in old:
            found["schema"].append(f"database {database} was created since, and goes")
        elif database not in new:
            found["schema"].append(f"database {database} was dropped since, and comes back")
        sides = (
            _tables(before, database) if database in old else {},
            _tables(now, database) if database in new else {},
        )
        if database in old and database in new:
            found["schema"] += row_diff.schema_changes(*sides)
        found["left_out"] += _left_out(before if database in old else now, database, *sides)
        for pair in row_diff.pairs(*sides):
            count = _count(pair, before, now, database)
            found["compared"] += 1
            if any(count):
                found["tables"][pair.name] = count._asdict()
                found["bags"] += [] if pair.key else [pair.name]
    return found


def _databases(host: Host) -> list[str]:
    return list(json.loads(sql(host, row_diff.DATABASES)))


def _tables(host: Host, database: str) -> dict[str, Table]:
    with rows(
        host, f"copy ({row_diff.TABLES}) to stdout (format csv, quote E'\\x01')", database, row_diff.SETTINGS
    ) as lines:
        listing = json.loads("".join(lines).strip().strip("\x01"))
    return {f"{database}.{name}": table for name, table in row_diff.tables(listing).items()}


def _left_out(host: Host, database: str, before: Mapping[str, Table], now: Mapping[str, Table]) -> list[str]:
    unlogged = sorted({name for side in (before, now) for name, table in side.items() if table.unlogged})
    large = [f"{database}: its large objects"] if sql(host, _LARGE_OBJECTS, database) == "t" else []
    return [*(f"{name}: unlogged, and empty after a restore" for name in unlogged), *large]


def _count(pair: Pair, before: Host, now: Host, database: str) -> Count:
    """What has changed in a table; both sides are read at the same time."""

    def read(walk: Callable[[Iterator[str], Iterator[str]], T], statement: Callable[[Table], str]) -> T:
        statements = [statement(table) if table else "" for table in (pair.before, pair.now)]
        with (
            rows(before, statements[0], database, row_diff.SETTINGS) as old,
            rows(now, statements[1], database, row_diff.SETTINGS) as new,
        ):
            return walk(old, new)

    both = pair.before and pair.now
    if both and read(lambda old, new: list(old) == list(new), lambda table: row_diff.digest(table, pair.columns)):
        return Count(0, 0, 0)
    return read(row_diff.walk, lambda table: row_diff.query(table, pair.columns, pair.key))
