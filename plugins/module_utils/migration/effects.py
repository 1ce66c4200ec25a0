# SPDX-License-Identifier: Apache-2.0
"""How much of an unfinished migration is in the database: each statement's effect in the catalogue. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.sluice.stack.plugins.module_utils.migration.session import literal
from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import NAME, Statement, plain_name, split

_IF = r"(?:IF (?:NOT )?EXISTS )?"
_RELATION = "to_regclass({0}) is not null"
_COLUMN = "exists (select from pg_attribute where attrelid = to_regclass({0}) and attname = {1} and not attisdropped)"
_CONSTRAINT = "exists (select from pg_constraint where conrelid = to_regclass({0}) and conname = {1})"
# Where a transaction begins or ends; these have no effect of their own.
_BOUNDARY = re.compile(r"(?:BEGIN|START TRANSACTION|COMMIT|END|SET)\b", re.IGNORECASE)
_ALTER = rf"^ALTER TABLE {_IF}(?:ONLY )?({NAME}) "
# The beginning of a statement's code, SQL that is true when its effect is in the database, and the number of unqualified names.
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
    """Return SQL that is true when the statement's effect is in the database; None for one without a trace, such as an UPDATE."""
    for pattern, form, bare in _KINDS:
        if match := pattern.match(statement.head):
            names = list(match.groups())
            written = [literal(name) if index == 0 else literal(plain_name(name)) for index, name in enumerate(names)]
            return form.format(*written[: 1 + bare])
    return None


def question(sql: str) -> tuple[list[Statement], str]:
    """Return the statements of a migration, and a query with a column for each: whether its effect is in the database."""
    statements = split(sql)
    columns = [f"{expression(one) or 'null::boolean'} as s{index}" for index, one in enumerate(statements)]
    return statements, "select " + ", ".join(columns)


def clean(statements: Sequence[Statement], effects: Sequence[bool | None]) -> bool:
    """Whether nothing of a migration was applied: its statements run in order, and the first has no effect in the database."""
    return any(effect is False for _unused, effect in _of_weight(statements, effects)[:1])


def open_question(name: str, statements: Sequence[Statement], effects: Sequence[bool | None]) -> str:
    """Describe how much of an unfinished migration is applied, and the statement the operator must check."""
    weighed = _of_weight(statements, effects)
    for done, (statement, effect) in enumerate(weighed):
        if effect is not True:
            finding = "was not applied" if effect is False else "may or may not be applied: it leaves no trace"
            return (
                f"migration {name} did not finish: {done} of its {len(weighed)} statements are applied, the next one (line "
                f"{statement.line}) {finding}: {statement.short()}"
            )
    return f"all {len(weighed)} statements of migration {name} are applied, but it did not report success"


def _of_weight(statements: Sequence[Statement], effects: Sequence[bool | None]) -> list[tuple[Statement, bool | None]]:
    """Pair the statements with their effects, without those that only begin or end a transaction or set a parameter."""
    both = zip(statements, effects, strict=True)
    return [(statement, effect) for statement, effect in both if not _BOUNDARY.match(statement.head)]
