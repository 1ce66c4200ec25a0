# SPDX-License-Identifier: Apache-2.0
"""Which rows differ between two databases of the same origin, table by table: pure decisions, queries, and a walk over two sorted streams.

A row becomes a line of a fixed width: a hash of its primary key, and one of the rest. Lines are in the order of their bytes, which no collation and no
type has a say in, so that two servers agree on it and the walk needs one line of each in memory. Rows themselves leave no server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# Hexadecimal digits of md5.
KEY_WIDTH = 32
# What makes types write themselves differently, or takes a session's time and rights; for both sides.
SETTINGS = {
    "search_path": "pg_catalog",
    # A table that became a view since it was listed would run its owner's functions.
    "restrict_nonsystem_relation_kind": "view",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "default_transaction_read_only": "on",
    "row_security": "off",
    "statement_timeout": "6h",
    "lock_timeout": "1min",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
    "work_mem": "64MB",
    "application_name": "sluice-compare",
}
DATABASES = "select coalesce(json_agg(datname order by datname), '[]') from pg_database where datallowconn and not datistemplate"
# Partitions are part of their table: a row that moved from one to another was updated.
TABLES = """
select coalesce(json_agg(found), '[]') from (
  select n.nspname as schema, c.relname as name, c.relkind as kind, c.relpersistence = 'u' as unlogged,
    (select coalesce(json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)), '{}')
     from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    (select coalesce(json_agg(a.attname order by k.place), '[]')
     from pg_index i, unnest(i.indkey) with ordinality as k(number, place), pg_attribute a
     where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts and a.attrelid = c.oid and a.attnum = k.number) as key
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and (n.nspname, c.relname) <> ('sluice', 'heartbeat')
) found
"""


class Table(NamedTuple):
    """A table as one side has it: ``columns`` are name → type, ``key`` the columns of its primary key, empty when it has none."""

    schema: str
    name: str
    kind: str  # r, or p: partitioned
    unlogged: bool
    columns: Mapping[str, str]
    key: Sequence[str]


class Pair(NamedTuple):
    """What is compared: a table before and now (None where it is not there), by these columns, with ``key`` or as a bag when it is empty."""

    name: str
    before: Table | None
    now: Table | None
    columns: tuple[str, ...]
    key: tuple[str, ...]


class Count(NamedTuple):
    """Rows that are there now and were not before, that are another, and that are gone."""

    inserted: int
    updated: int
    deleted: int


def tables(listing: Iterable[Mapping[str, Any]]) -> dict[str, Table]:
    """What the query TABLES answered, by name."""
    return {f"{item['schema']}.{item['name']}": Table(**item) for item in listing}


def pairs(before: Mapping[str, Table], now: Mapping[str, Table]) -> list[Pair]:
    """What to compare, in the order of the names. Unlogged tables are not: restored data has none of their rows."""
    return [
        _pair(name, before.get(name), now.get(name))
        for name in sorted({*before, *now})
        if not any(side[name].unlogged for side in (before, now) if name in side)
    ]


def _pair(name: str, before: Table | None, now: Table | None) -> Pair:
    if before is None or now is None:
        there = before or now
        if there is None:
            raise AssertionError(f"{name} is a table of one side at least")
        return Pair(name, before, now, tuple(sorted(there.columns)), tuple(there.key))
    columns = tuple(column for column in sorted(before.columns) if column in now.columns)
    # A key that has changed says nothing about which row was which.
    key = tuple(before.key) if list(before.key) == list(now.key) and set(before.key) <= set(columns) else ()
    return Pair(name, before, now, columns, key)


def schema_changes(before: Mapping[str, Table], now: Mapping[str, Table]) -> list[str]:
    """What is on one side alone, a line each: it goes, or it comes back."""
    found = []
    for name in sorted({*before, *now}):
        if name not in before:
            found.append(f"table {name} was created since, and goes")
        elif name not in now:
            found.append(f"table {name} was dropped since, and comes back")
        else:
            old, new = before[name].columns, now[name].columns
            found += [f"column {name}.{column} was added since, and goes" for column in new if column not in old]
            found += [
                f"column {name}.{column} was dropped since, and comes back" for column in old if column not in new
            ]
            found += [
                f"column {name}.{column} was {old[column]}, is {new[column]}, and becomes that again"
                for column in old
                if column in new and old[column] != new[column]
            ]
    return found


def digest(table: Table, columns: Sequence[str]) -> str:
    """The statement that writes one line about all rows of a table, in whatever order they are read: equal lines are equal tables.

    Sums of 64-bit hashes: two tables that differ have the same one once in 2^64. It spares tables that nobody touched the sort.
    """
    whole = f"count(*), sum(hashtextextended({_row(columns)}, 0)::numeric)"
    return f"copy (select {whole} from {_source(table)}) to stdout"  # noqa: S608 - names are quoted


def query(table: Table, columns: Sequence[str], key: Sequence[str]) -> str:
    """The statement that writes a table's lines, sorted."""
    rest = f", md5({_row([column for column in columns if column not in key])})" if key else ""
    line = f'md5({_row(key or columns)}) collate "C" as key{rest}'
    return f"copy (select {line} from {_source(table)} order by key) to stdout"  # noqa: S608 - names are quoted


def _row(columns: Sequence[str]) -> str:
    return f"row({', '.join(quoted(column) for column in columns)})::text"


def _source(table: Table) -> str:
    return f"{'only ' if table.kind == 'r' else ''}{quoted(table.schema)}.{quoted(table.name)}"


def quoted(name: str) -> str:
    """An identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def walk(before: Iterable[str], now: Iterable[str]) -> Count:
    """Count what differs between two sorted streams of lines.

    In a bag a line is its key, and equal lines are as many rows: what one side has more of was inserted or deleted, and nothing is an update.
    """
    inserted = updated = deleted = 0
    olds, news = iter(before), iter(now)
    old, new = next(olds, None), next(news, None)
    while old is not None and new is not None:
        if old == new:
            old, new = next(olds, None), next(news, None)
        elif old[:KEY_WIDTH] == new[:KEY_WIDTH]:
            updated += 1
            old, new = next(olds, None), next(news, None)
        elif old < new:
            deleted += 1
            old = next(olds, None)
        else:
            inserted += 1
            new = next(news, None)
    deleted += (old is not None) + sum(1 for _unused in olds)
    inserted += (new is not None) + sum(1 for _unused in news)
    return Count(inserted, updated, deleted)


def described(found: Mapping[str, Any]) -> list[str]:
    """Return what a comparison found, for people: a line per table that differs, then all in all."""
    lines = []
    for name, count in found["tables"].items():
        bag = (
            " (no primary key on both sides: an update counts as one deleted and one inserted)"
            if name in found["bags"]
            else ""
        )
        lines.append(f"reverted  {name}: {_counted(count)}{bag}")
    lines += [f"schema    {line}" for line in found["schema"]]
    lines += [f"left out  {line}" for line in found["left_out"]]
    if not found["tables"]:
        return [*lines, f"rows      none would be reverted; tables compared: {found['compared']}"]
    total = {kind: sum(count[kind] for count in found["tables"].values()) for kind in Count._fields}
    differ = f"tables that differ: {len(found['tables'])} of {found['compared']}"
    return [*lines, f"rows      {_counted(total)} since; {differ}"]


def _counted(count: Mapping[str, int]) -> str:
    return ", ".join(f"{count[kind]} {kind}" for kind in Count._fields)
