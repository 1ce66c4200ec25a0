# SPDX-License-Identifier: Apache-2.0
"""How much of a migration that did not end is in the database: each statement's trace in the catalogue. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.sluice.stack.plugins.module_utils.migration.session import literal
from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import NAME, Statement, plain_name, split

_IF = r"(?:IF (?:NOT )?EXISTS )?"
_RELATION = "to_regclass({0}) is not null"
_COLUMN = "exists (select from pg_attribute where attrelid = to_regclass({0}) and attname = {1} and not attisdropped)"
_CONSTRAINT = "exists (select from pg_constraint where conrelid = to_regclass({0}) and conname = {1})"
# Where a transaction begins or ends; not what a person decides about.
_BOUNDARY = re.compile(r"(?:BEGIN|START TRANSACTION|COMMIT|END|SET)\b", re.IGNORECASE)
_ALTER = rf"^ALTER TABLE {_IF}(?:ONLY )?({NAME}) "
# What a statement's code begins with, the SQL that is true when its effect is there, and how many of the names are bare ones.
_KINDS: tuple[tuple[re.Pattern[str], str, int], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), expression, bare)
    for pattern, expression, bare in (
        (rf"^CREATE (?:UNLOGGED )?TABLE {_IF}({NAME})", _RELATION, 0),
        (rf"^CREATE (?:OR REPLACE )?(?:MATERIALIZED )?VIEW {_IF}({NAME})", _RELATION, 0),
        (rf"^DROP (?:TABLE|VIEW|MATERIALIZED VIEW|INDEX)(?: CONCURRENTLY)? {_IF}({NAME})", f"not ({_RELATION})", 0),
        (
            rf"^CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?{_IF}({NAME}) ON\b",
            "exists (select from pg_index where indexrelid = to_regclass({0}) and indisvalid)",
            0,
        ),
        (rf"^CREATE TYPE ({NAME})", "to_regtype({0}) is not null", 0),
        (rf"^DROP TYPE {_IF}({NAME})", "to_regtype({0}) is null", 0),
        (rf"{_ALTER}ADD (?:CONSTRAINT ({NAME}))", _CONSTRAINT, 1),
        (rf"{_ALTER}DROP CONSTRAINT {_IF}({NAME})", f"not ({_CONSTRAINT})", 1),
        (rf"{_ALTER}RENAME CONSTRAINT {NAME} TO ({NAME})", _CONSTRAINT, 1),
        (rf"{_ALTER}RENAME TO ({NAME})", "to_regclass({0}) is null", 1),
        (rf"{_ALTER}RENAME (?:COLUMN )?({NAME}) TO {NAME}", f"not ({_COLUMN})", 1),
        (rf"{_ALTER}DROP (?:COLUMN )?{_IF}({NAME})", f"not ({_COLUMN})", 1),
        (
            rf"{_ALTER}ALTER (?:COLUMN )?({NAME}) SET NOT NULL",
            "exists (select from pg_attribute where attrelid = to_regclass({0}) and attname = {1} and attnotnull)",
            1,
        ),
        (rf"{_ALTER}ADD (?!PRIMARY\b|UNIQUE\b|FOREIGN\b|CHECK\b|EXCLUDE\b)(?:COLUMN )?{_IF}({NAME})", _COLUMN, 1),
    )
)


def expression(statement: Statement) -> str | None:
    """SQL that is true when the statement's effect is in the database; None for one that leaves no trace, such as an UPDATE."""
    for pattern, form, bare in _KINDS:
        if match := pattern.match(statement.head):
            names = list(match.groups())
            written = [literal(name) if index == 0 else literal(plain_name(name)) for index, name in enumerate(names)]
            return form.format(*written[: 1 + bare])
    return None


def question(sql: str) -> tuple[list[Statement], str]:
    """The statements of a migration and the query that tells, in a column for each, whether its effect is there."""
    statements = split(sql)
    columns = [f"{expression(one) or 'null::boolean'} as s{index}" for index, one in enumerate(statements)]
    return statements, "select " + ", ".join(columns)


def clean(statements: Sequence[Statement], effects: Sequence[bool | None]) -> bool:
    """Whether nothing of a migration is there: its statements run in their order, and the first has left no trace."""
    return any(effect is False for _unused, effect in _of_weight(statements, effects)[:1])


def open_question(name: str, statements: Sequence[Statement], effects: Sequence[bool | None]) -> str:
    """What is applied of a migration that did not end, and the one statement a person must decide about."""
    weighed = _of_weight(statements, effects)
    for done, (statement, effect) in enumerate(weighed):
        if effect is not True:
            said = "is not" if effect is False else "may be there or not, it leaves no trace"
            return (
                f"migration {name} did not end: {done} of its {len(weighed)} statements are known to be in the database, the next one (line "
                f"{statement.line}) {said}: {statement.short()}"
            )
    return f"all {len(weighed)} statements of migration {name} have left their trace, and it did not report its end"


def _of_weight(statements: Sequence[Statement], effects: Sequence[bool | None]) -> list[tuple[Statement, bool | None]]:
    """The statements with what is known of them, without those that only begin or end a transaction or set something."""
    both = zip(statements, effects, strict=True)
    return [(statement, effect) for statement, effect in both if not _BOUNDARY.match(statement.head)]
