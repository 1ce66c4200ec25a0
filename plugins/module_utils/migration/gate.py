# SPDX-License-Identifier: Apache-2.0
"""The migration gate: what in the SQL that is about to run would hurt a running app, why, and how it is done safely.

Most of it is found by squawk (https://squawkhq.com), a parser and linter of Postgres migrations; this reads what it said, and adds
the few things it does not look for. Pure: text in, plain data out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import NAME, Statement, plain_name, split

Finding = dict[str, Any]  # migration, line, statement, rule, kind, why, safe; and accepted: why it may run all the same

# What a finding does: `breaks` takes away what the release that serves still uses, or rows; `locks` keeps the app waiting for as
# long as the table is large; `fails` cannot work at all.
BREAKS, LOCKS, FAILS = "breaks", "locks", "fails"

_LATER = "take it away in a later release, when no release that serves uses it, and mark that migration: -- sluice: contract <expand migration>"
_ADD_NEW = "add what is new beside it, write both, copy the rows in batches, read the new one; then " + _LATER
_NOT_VALID = "ADD CONSTRAINT … NOT VALID, and ALTER TABLE … VALIDATE CONSTRAINT in a migration of its own"
_BY_INDEX = "CREATE UNIQUE INDEX CONCURRENTLY in a migration of its own, then ADD CONSTRAINT … USING INDEX"
_CONCURRENT = "CONCURRENTLY, as the only statement of a migration (the engine sql: with -- sluice: no-transaction)"
_DEFAULT_LATER = "ADD COLUMN without a default, SET DEFAULT after it for new rows, and fill the old ones in batches"

# What squawk's rules mean here: kind, why it hurts, the safe form. A rule that is in neither table is a finding with squawk's own words.
SQUAWK: dict[str, tuple[str, str, str]] = {
    "adding-field-with-default": (LOCKS, "works the value out for every row: the table is rewritten while nobody can read it", _DEFAULT_LATER),
    "adding-foreign-key-constraint": (LOCKS, "checks every row while nobody can write to either table", _NOT_VALID),
    "adding-not-nullable-field": (
        BREAKS,
        "reads the whole table while nobody else can, and the release that serves may still write empty values",
        "ADD CONSTRAINT … CHECK (… IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in the next migration, then SET NOT NULL",
    ),
    "adding-required-field": (
        BREAKS,
        "rows that are there have no value for it, and inserts of the release that serves give none",
        "ADD COLUMN with a constant default, or one that may be empty",
    ),
    "adding-serial-primary-key-field": (LOCKS, "builds the key's index while nobody can read the table", _BY_INDEX),
    "ban-concurrent-index-creation-in-transaction": (FAILS, "an index cannot be built CONCURRENTLY in a transaction", _CONCURRENT),
    "ban-drop-column": (BREAKS, "the column's data is lost, and the release that serves may still use it", _LATER),
    "ban-drop-constraint": (BREAKS, "what it kept apart is kept apart no more, and ON CONFLICT of the release that serves may need it", _LATER),
    "ban-drop-database": (BREAKS, "everything is lost", "leave it to a person"),
    "ban-drop-function": (BREAKS, "the release that serves may call it", _LATER),
    "ban-drop-schema": (BREAKS, "all that is in it is lost", _LATER),
    "ban-drop-table": (BREAKS, "the table's rows are lost, and the release that serves may still use it", _LATER),
    "ban-drop-type": (BREAKS, "the release that serves may still use it", _LATER),
    "ban-drop-view": (BREAKS, "the release that serves may still read it", _LATER),
    "ban-set-schema": (BREAKS, "the release that serves asks for it in its old place", _ADD_NEW),
    "ban-truncate-cascade": (BREAKS, "the rows of this table and of all that refer to it are lost", "DELETE in batches, by key"),
    "changing-column-type": (BREAKS, "rewrites the table while nobody can read it, and the release that serves expects the old type", _ADD_NEW),
    "constraint-missing-not-valid": (LOCKS, "checks every row while nobody can write to the table", _NOT_VALID),
    "disallowed-unique-constraint": (LOCKS, "builds an index while nobody can read the table", _BY_INDEX),
    "renaming-column": (BREAKS, "the release that serves asks for the old name", _ADD_NEW),
    "renaming-table": (BREAKS, "the release that serves asks for the old name", "keep the old name as a view, and " + _LATER),
    "require-concurrent-index-creation": (LOCKS, "nobody can write to the table while the index is built", f"CREATE INDEX {_CONCURRENT}"),
    "require-concurrent-index-deletion": (
        LOCKS,
        "waits for all queries on the table, and all later ones wait behind it",
        f"DROP INDEX {_CONCURRENT}",
    ),
    "require-concurrent-reindex": (LOCKS, "nobody can write to the table while the index is built", f"REINDEX … {_CONCURRENT}"),
}  # fmt: skip
# Style, or what the run sees to itself (timeouts), or what is an entry in the catalogue alone.
HARMLESS = frozenset(
    (
        "ban-alter-domain-with-add-constraint",
        "ban-char-field",
        "ban-create-domain-with-constraint",
        "ban-drop-default",
        "ban-drop-not-null",
        "prefer-bigint-over-int",
        "prefer-bigint-over-smallint",
        "prefer-identity",
        "prefer-robust-stmts",
        "prefer-text-field",
        "prefer-timestamp-tz",
        "renaming-object",
        "require-enum-value-ordering",
        "require-lock-timeout",
        "require-statement-timeout",
        "require-timeout-settings",
        "transaction-nesting",
    )
)
# What fails on an empty table too.
_ANYWHERE = ("ban-concurrent-index-creation-in-transaction", "syntax-error")
# Several rules of squawk see the same thing; the first is enough.
_SAME = {
    "constraint-missing-not-valid": {
        "adding-foreign-key-constraint",
        "disallowed-unique-constraint",
        "adding-serial-primary-key-field",
    }
}


@dataclass(frozen=True)
class Migration:
    """A migration that is about to run."""

    name: str
    sql: str
    in_transaction: bool  # its statements are sent as one transaction


def _rules() -> tuple[tuple[str, re.Pattern[str], tuple[str, str, str]], ...]:
    """What squawk does not look for: rule, what a statement's code must match, and what it means."""
    lock = (
        LOCKS,
        "others wait until the transaction ends",
        "leave it out: lock_timeout and the statements' own locks do",
    )
    truncate = (BREAKS, "every row is lost", "DELETE in batches, by key")
    rewrite = (
        LOCKS,
        "writes the whole table again while nobody can read it",
        "leave it to pg_repack, or to a maintenance window",
    )
    refresh = (LOCKS, "nobody can read the view until it is worked out anew", "REFRESH MATERIALIZED VIEW CONCURRENTLY")
    attach = (
        LOCKS,
        "checks every row of the part while it is locked",
        "give the part a CHECK of the same bounds first, NOT VALID and then validated; DETACH … CONCURRENTLY",
    )
    table = [
        ("explicit-lock", r"^LOCK\b", lock),
        ("truncate", r"^TRUNCATE\b", truncate),
        ("table-rewrite", r"^(?:VACUUM \(?[^;)]*\bFULL\b|CLUSTER\b|ALTER TABLE .* SET (?:UNLOGGED|LOGGED|TABLESPACE|ACCESS METHOD)\b)", rewrite),
        ("refresh-view", r"^REFRESH MATERIALIZED VIEW (?!CONCURRENTLY\b)", refresh),
        ("partition", r"^ALTER TABLE .* (?:ATTACH PARTITION|DETACH PARTITION (?!.*\bCONCURRENTLY\b))", attach),
    ]  # fmt: skip
    return tuple((rule, re.compile(pattern, re.IGNORECASE), means) for rule, pattern, means in table)


_OWN = _rules()
_BULK = (
    LOCKS,
    "writes as many rows as there are in one transaction: they stay locked until its end, and replicas fall behind",
    "in batches by key, from a job or a script beside the release; a single batch: … WHERE id IN (SELECT id … LIMIT 1000)",
)
_BULK_VERB = re.compile(
    rf"\b(?:(?<!FOR )(?<!DO )(?<!ON )UPDATE|(?<!ON )DELETE FROM)\s+(?:ONLY\s+)?({NAME})(.*)", re.IGNORECASE
)
_KEY = r'(?:[\w"]+\.)?"?(?:\w*id|\w*key|code|slug|name|email|version)"?'
# A condition that holds for few rows whatever the table has: keys that are written out, a range of keys, a limit.
_BOUNDED = re.compile(
    rf"\bWHERE\b.*(?:\bLIMIT \d|(?<![\w\"]){_KEY} (?:= ?(?:''|\d|\$|ANY ?\()|IN ?\( ?(?:''|\d)|BETWEEN (?:''|\d)))",
    re.IGNORECASE,
)
_CREATED = re.compile(
    rf"^CREATE (?:(?:GLOBAL|LOCAL|TEMP|TEMPORARY|UNLOGGED|MATERIALIZED)\s)*(?:TABLE|VIEW) (?:IF NOT EXISTS )?({NAME})",
    re.IGNORECASE,
)
_TARGET = re.compile(
    rf"^(?:ALTER TABLE|DROP TABLE|TRUNCATE(?: TABLE)?|CREATE (?:UNIQUE )?INDEX .*?\bON|LOCK(?: TABLE)?|DROP (?:MATERIALIZED )?VIEW"
    rf"|REFRESH MATERIALIZED VIEW|CLUSTER)\s+(?:IF EXISTS )?(?:ONLY )?({NAME})(?:\s*,\s*(.+))?",
    re.IGNORECASE,
)  # fmt: skip
_MARK = re.compile(r"^sluice:\s*(contract|no-transaction)\b\s*(\S*)")
_IGNORE = re.compile(r"^squawk-ignore\s+([\w-]+(?:\s*,\s*[\w-]+)*)")


def marks(sql: str) -> dict[str, str]:
    """What a migration says of itself in comments: ``contract`` with the name of its expand half, ``no-transaction``."""
    found = [line for statement in split(sql) for line in statement.comments]
    return {match[1]: match[2] for line in found if (match := _MARK.match(line))}


def for_squawk(sql: str) -> str:
    """The text squawk gets: what it is told to ignore is judged here, so that it cannot hide what breaks a release."""
    return sql.replace("squawk-ignore", "squawk_ignore")


def inspect(pending: Sequence[Migration], said: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Finding]:
    """What hurts in the migrations that are about to run, in their order.

    ``said`` is squawk's JSON by migration: rule_name, message, help, line and column from 0. A table that one of the migrations itself
    creates is empty and unknown to the release that serves: nothing done to it hurts.
    """
    found: list[Finding] = []
    new: set[str] = set()
    for migration in pending:
        statements = split(migration.sql)
        by_statement = _assign(migration.sql, statements, said.get(migration.name, []))
        for statement, remarks in zip(statements, by_statement, strict=True):
            if created := _CREATED.match(statement.head):
                new.add(plain_name(created[1]))
            targets = _targets(statement)
            if targets and targets <= new:
                found += _findings(migration, statement, [one for one in remarks if one["rule_name"] in _ANYWHERE], new)
            else:
                found += _findings(migration, statement, remarks, new)
    return found


def _findings(
    migration: Migration, statement: Statement, remarks: Sequence[Mapping[str, Any]], new: Collection[str]
) -> Iterator[Finding]:
    """The findings of one statement."""
    ignored = {
        rule.strip() for line in statement.comments if (match := _IGNORE.match(line)) for rule in match[1].split(",")
    }
    rules = {str(one["rule_name"]) for one in remarks}
    meanings = {
        rule: SQUAWK.get(rule) or (FAILS if rule == "syntax-error" else LOCKS, str(one["message"]), str(one.get("help") or "see squawk's page on the rule"))
        for one in remarks
        if (rule := str(one["rule_name"])) not in HARMLESS and not rules & _SAME.get(rule, set())
    }  # fmt: skip
    meanings |= dict(_own(statement, new))
    for rule, (kind, why, safe) in meanings.items():
        yield {
            "migration": migration.name,
            "line": statement.line,
            "statement": statement.short(),
            "rule": rule,
            "kind": kind,
            "why": why,
            "safe": safe,
            "accepted": f"squawk-ignore {rule}" if rule in ignored and kind == LOCKS else None,
        }


def _own(statement: Statement, new: Collection[str]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """What our own rules find in a statement, and in a code block that runs at once."""
    targets = _targets(statement)
    if not (targets and targets <= set(new)):
        for rule, pattern, means in _OWN:
            if pattern.search(statement.head):
                yield rule, means
    for match in _BULK_VERB.finditer(statement.head):
        runs_now = re.match(r"(?:WITH|UPDATE|DELETE|EXPLAIN|INSERT)\b", statement.head, re.IGNORECASE)
        if runs_now and plain_name(match[1]) not in new and not _BOUNDED.search(match[2]):
            yield "bulk-change", _BULK
    if re.match(r"DO\b", statement.head, re.IGNORECASE):
        for body in statement.bodies:
            for inner in split(re.sub(r"\b(?:BEGIN|THEN|LOOP|ELSE)\b", ";", body, flags=re.IGNORECASE)):
                yield from _own(inner, new)


def _targets(statement: Statement) -> set[str]:
    """The tables a statement changes as a whole; empty when there is none, or it cannot be told."""
    match = _TARGET.match(statement.head)
    if not match:
        return set()
    names = {plain_name(match[1])}
    if match[2] and re.match(r"(?:DROP|TRUNCATE|LOCK)", statement.head, re.IGNORECASE):
        names |= {
            plain_name(part) for part in re.findall(NAME, match[2])[:20] if part.upper() not in ("CASCADE", "RESTRICT")
        }
    return names


def _assign(
    sql: str, statements: Sequence[Statement], said: Sequence[Mapping[str, Any]]
) -> list[list[Mapping[str, Any]]]:
    """Squawk's remarks by statement: the last one that begins before the remark's end."""
    lines = [0]
    for line in sql.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    result: list[list[Mapping[str, Any]]] = [[] for _unused in statements]
    for one in said:
        at = (
            lines[min(int(one.get("line_end", one["line"])), len(lines) - 1)]
            + int(one.get("column_end", one["column"]))
            - 1
        )
        index = max((number for number, statement in enumerate(statements) if statement.start <= at), default=0)
        if result:
            result[index].append(one)
    return result


def judge(
    pending: Sequence[Migration], found: Sequence[Finding], released: Collection[str]
) -> tuple[list[Finding], list[Finding]]:
    """What refuses the deploy, and what is allowed all the same.

    ``released`` are the migrations that are applied and part of the release that serves. The contract half of a pair may do what it must
    when its expand half is among them.
    """
    refused: list[Finding] = []
    allowed: list[Finding] = []
    expands = {one.name: marks(one.sql).get("contract") for one in pending}
    for finding in found:
        expand = expands.get(finding["migration"])
        if expand and expand in released and finding["kind"] != FAILS:
            allowed.append({**finding, "accepted": f"contract half of {expand}, which is released"})
        elif finding["accepted"]:
            allowed.append(dict(finding))
        elif expand is not None and expand not in released:
            name = expand or "(the mark names none)"
            refused.append(
                {
                    **finding,
                    "unreleased": f"its expand half {name} is not part of the release that serves: ship that first",
                }
            )
        else:
            refused.append(dict(finding))
    return refused, allowed


def lines(found: Sequence[Finding]) -> list[str]:
    """Findings as a person reads them: the statement, why it hurts, the safe form."""
    result = []
    for one in found:
        result += [
            f"{one['migration']}, line {one['line']} ({one['rule']}): {one['statement']}",
            f"    it {one['kind']}: {one['why']}",
            f"    safe: {one['safe']}",
        ]
        if one.get("unreleased"):
            result.append(f"    {one['unreleased']}")
        if one["accepted"]:
            result.append(f"    allowed: {one['accepted']}")
    return result


def summary(refused: Sequence[Finding]) -> str:
    """The first line of a refusal."""
    first = refused[0]
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return (
        f"migration {first['migration']} would hurt what serves, line {first['line']}{more}: {first['statement']}; it {first['kind']}: "
        f"{first['why']}. Change it, mark it, or set app_migration.gate (docs/migrations.md)"
    )


def pending_lines(status: Mapping[str, Sequence[str]], known: bool) -> list[str]:
    """What is pending, by name, and what is odd about the applied ones."""
    if not known:
        return ["cannot be told: the image is not on the host yet, or its tool does not say"]
    waiting = status.get("pending") or []
    words = (
        ("failed earlier, to be seen to first", "failed"),
        ("edited since they were applied", "edited"),
        ("applied, but not in this image", "unknown"),
        ("invalid indexes, left by a concurrent build that failed", "invalid_indexes"),
    )
    return [
        ", ".join(waiting) or "no migration",
        *(f"{text}: {', '.join(status[key])}" for text, key in words if status.get(key)),
    ]


def one_way(pending: Sequence[Mapping[str, Any]]) -> str:
    """Why migrations that would have to be undone cannot run, where that is so; ``pending`` as db_migration lists them."""
    names = [one["name"] for one in pending if not one["has_down"]]
    if not names:
        return ""
    return (
        f"migration {', '.join(names)} has no way back ({names[0]}.down.sql in the image), and what becomes of the data here is 'down' "
        "(app_rollback.data, release_data)"
    )
