# SPDX-License-Identifier: Apache-2.0
"""The tables whose rows a copy for previews leaves out: which ones a list of names means. Pure, with the queries it builds on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.dump.sql import quoted

TABLES = """
select coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname, 'id', c.oid::int8,
  'parents', (select coalesce(json_agg(inhparent::int8), '[]') from pg_inherits where inhrelid = c.oid)) order by n.nspname, c.relname), '[]')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""
_PART = r'("(?:[^"]|"")+"|[^".]+)'
_NAME = re.compile(rf"(?:{_PART}\.)?{_PART}")


class NoTable(Exception):
    """A name means no table, or several; the message says why."""


class Table(NamedTuple):
    """A table of the source; ``parents`` are those it is a partition, or an heir, of."""

    schema: str
    name: str
    id: int
    parents: Sequence[int]

    @property
    def quoted(self) -> str:
        """Its name in SQL, which is also the pattern of pg_dump that matches it alone."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def left_out(names: Sequence[str], listing: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return the tables that ``names`` mean, with their partitions; ``listing`` is what TABLES answered. Raises NoTable.

    pg_dump takes a pattern that matches nothing, and copies the rows.
    """
    there = [Table(**item) for item in listing]
    found = {table.id for name in names for table in [_one(name, there)]}
    while True:
        heirs = {table.id for table in there if found & {*table.parents}}
        if heirs <= found:
            return [table for table in there if table.id in found]
        found |= heirs


def _one(name: str, there: Sequence[Table]) -> Table:
    match = _NAME.fullmatch(name)
    if not match:
        raise NoTable(f"{name}: this is no name of a table")
    schema, table = (_plain(part) for part in match.groups())
    found = [one for one in there if one.name == table and schema in ("", one.schema)]
    if len(found) > 1:
        raise NoTable(f"{name}: there are {' and '.join(one.quoted for one in found)}; write the schema too")
    if not found:
        alike = [one.quoted for one in there if one.name.lower() == table.lower()]
        raise NoTable(f"{name}: there is no such table" + (f", but {' and '.join(alike)}" if alike else ""))
    return found[0]


def _plain(part: str | None) -> str:
    """A name is taken as it is written, in quotes or not: an ORM's tables have capitals."""
    return part[1:-1].replace('""', '"') if part and part.startswith('"') else part or ""


def with_rows(tables: Sequence[Table]) -> str:
    """The query for those that have rows."""
    rows = " union all ".join(
        f"select {index} where exists (select from only {table.quoted})"  # noqa: S608 - names are quoted
        for index, table in enumerate(tables)
    )
    return f"select coalesce(json_agg(n), '[]') from ({rows}) found(n)"  # noqa: S608 - names are quoted
