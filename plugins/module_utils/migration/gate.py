# SPDX-License-Identifier: Apache-2.0
"""The migration gate: which statements of pending SQL would break or block a running app, why, and the safe form.

Most findings come from squawk (https://squawkhq.com), a parser and linter of Postgres migrations; this reads its report and adds
the few checks it lacks. Pure: text in, plain data out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import NAME, Statement, plain_name, split

Finding = dict[str, Any]  # migration, line, statement, rule, kind, why, safe; and accepted: why it may run anyway

# The kinds of findings: `breaks` removes rows, or schema the live release still uses; `locks` blocks the app for a time that grows
# with the table; `fails` cannot work at all.
BREAKS, LOCKS, FAILS = "breaks", "locks", "fails"

_LATER = "remove it in a later release, once no live release uses it, and mark that migration: -- sluice: contract <expand migration>"
_ADD_NEW = "add the new one alongside, write both, copy the rows in batches, read the new one; then " + _LATER
_NOT_VALID = "ADD CONSTRAINT … NOT VALID, and ALTER TABLE … VALIDATE CONSTRAINT in a migration of its own"
_BY_INDEX = "CREATE UNIQUE INDEX CONCURRENTLY in a migration of its own, then ADD CONSTRAINT … USING INDEX"
_CONCURRENT = "CONCURRENTLY, as the only statement of a migration (the engine sql: with -- sluice: no-transaction)"
_DEFAULT_LATER = "ADD COLUMN without a default, SET DEFAULT after it for new rows, and fill the old ones in batches"

# Squawk's rules: kind, why, the safe form. A rule in neither table is reported with squawk's own message.
SQUAWK: dict[str, tuple[str, str, str]] = {
    "adding-field-with-default": (LOCKS, "computes the value for every row: the table is rewritten and cannot be read meanwhile", _DEFAULT_LATER),
    "adding-foreign-key-constraint": (LOCKS, "checks every row and blocks writes to both tables meanwhile", _NOT_VALID),
    "adding-not-nullable-field": (
        BREAKS,
        "scans the whole table and blocks reads meanwhile, and the live release may still write nulls",
        "ADD CONSTRAINT … CHECK (… IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in the next migration, then SET NOT NULL",
    ),
    "adding-required-field": (
        BREAKS,
        "existing rows have no value for it, and inserts of the live release set none",
        "ADD COLUMN with a constant default, or nullable",
    ),
    "adding-serial-primary-key-field": (LOCKS, "builds the key's index and blocks reads of the table meanwhile", _BY_INDEX),
    "ban-concurrent-index-creation-in-transaction": (FAILS, "an index cannot be built CONCURRENTLY in a transaction", _CONCURRENT),
    "ban-drop-column": (BREAKS, "the column's data is lost, and the live release may still use it", _LATER),
    "ban-drop-constraint": (BREAKS, "duplicates are no longer rejected, and ON CONFLICT of the live release may need it", _LATER),
    "ban-drop-database": (BREAKS, "all data is lost", "do it by hand"),
    "ban-drop-function": (BREAKS, "the live release may call it", _LATER),
    "ban-drop-schema": (BREAKS, "everything in it is lost", _LATER),
    "ban-drop-table": (BREAKS, "the table's rows are lost, and the live release may still use it", _LATER),
    "ban-drop-type": (BREAKS, "the live release may still use it", _LATER),
    "ban-drop-view": (BREAKS, "the live release may still read it", _LATER),
    "ban-set-schema": (BREAKS, "the live release uses it in its old schema", _ADD_NEW),
    "ban-truncate-cascade": (BREAKS, "the rows of this table and of all tables that refer to it are lost", "DELETE in batches, by key"),
    "changing-column-type": (BREAKS, "rewrites the table and blocks reads meanwhile, and the live release expects the old type", _ADD_NEW),
    "constraint-missing-not-valid": (LOCKS, "checks every row and blocks writes to the table meanwhile", _NOT_VALID),
    "disallowed-unique-constraint": (LOCKS, "builds an index and blocks reads of the table meanwhile", _BY_INDEX),
    "renaming-column": (BREAKS, "the live release uses the old name", _ADD_NEW),
    "renaming-table": (BREAKS, "the live release uses the old name", "keep the old name as a view, and " + _LATER),
    "require-concurrent-index-creation": (LOCKS, "writes to the table are blocked while the index is built", f"CREATE INDEX {_CONCURRENT}"),
    "require-concurrent-index-deletion": (
        LOCKS,
        "waits for all queries on the table, and all later queries wait behind it",
        f"DROP INDEX {_CONCURRENT}",
    ),
    "require-concurrent-reindex": (LOCKS, "writes to the table are blocked while the index is built", f"REINDEX … {_CONCURRENT}"),
}  # fmt: skip
# Style, or handled by the run (timeouts), or a change of the catalogue only.
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
# Rules that fail on an empty table too.
_ANYWHERE = ("ban-concurrent-index-creation-in-transaction", "syntax-error")
# Several rules of squawk report the same thing; the first is enough.
_SAME = {
    "constraint-missing-not-valid": {
        "adding-foreign-key-constraint",
        "disallowed-unique-constraint",
        "adding-serial-primary-key-field",
    }
}


@dataclass(frozen=True)
class Migration:
    """A pending migration."""

    name: str
    sql: str
    in_transaction: bool  # its statements are sent as one transaction


def _rules() -> tuple[tuple[str, re.Pattern[str], tuple[str, str, str]], ...]:
    """Return the rules squawk lacks: name, pattern of the statement's code, and finding."""
    lock = (
        LOCKS,
        "other sessions wait until the transaction ends",
        "remove it: lock_timeout and the statements' own locks are enough",
    )
    truncate = (BREAKS, "every row is lost", "DELETE in batches, by key")
    rewrite = (
        LOCKS,
        "rewrites the whole table and blocks reads meanwhile",
        "use pg_repack or a maintenance window",
    )
    refresh = (LOCKS, "the view cannot be read until it is recomputed", "REFRESH MATERIALIZED VIEW CONCURRENTLY")
    attach = (
        LOCKS,
        "checks every row of the partition while it is locked",
        "first add a CHECK of the same bounds to the partition, NOT VALID and then validated; DETACH … CONCURRENTLY",
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
    "writes all rows in one transaction: they stay locked until it ends, and replicas fall behind",
    "in batches by key, from a job or a script outside the migration; a single batch: … WHERE id IN (SELECT id … LIMIT 1000)",
)
_BULK_VERB = re.compile(
    rf"\b(?:(?<!FOR )(?<!DO )(?<!ON )UPDATE|(?<!ON )DELETE FROM)\s+(?:ONLY\s+)?({NAME})(.*)", re.IGNORECASE
)
_KEY = r'(?:[\w"]+\.)?"?(?:\w*id|\w*key|code|slug|name|email|version)"?'
# A condition that matches few rows in any table: literal keys, a range of keys, a limit.
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
    """Return the marks in a migration's comments: ``contract`` with the name of its expand migration, ``no-transaction``."""
    found = [line for statement in split(sql) for line in statement.comments]
    return {match[1]: match[2] for line in found if (match := _MARK.match(line))}


def for_squawk(sql: str) -> str:
    """Return the text for squawk without its ignore comments: they are judged here, so that they cannot hide what breaks a release."""
    return sql.replace("squawk-ignore", "squawk_ignore")


def inspect(pending: Sequence[Migration], report: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Finding]:
    """Return the findings in the pending migrations, in order.

    ``report`` is squawk's JSON by migration: rule_name, message, help, line and column from 0. A table that one of the migrations
    creates is empty and unknown to the live release, so no change of it is a finding.
    """
    found: list[Finding] = []
    new: set[str] = set()
    for migration in pending:
        statements = split(migration.sql)
        by_statement = _assign(migration.sql, statements, report.get(migration.name, []))
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
    """Return the findings of one statement."""
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
    """Return the findings of our own rules in a statement, and in a DO block."""
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
    """Return the tables a statement changes as a whole; empty for none, or when unknown."""
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
    sql: str, statements: Sequence[Statement], report: Sequence[Mapping[str, Any]]
) -> list[list[Mapping[str, Any]]]:
    """Assign squawk's remarks to statements: the last one that begins before the remark's end."""
    lines = [0]
    for line in sql.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    result: list[list[Mapping[str, Any]]] = [[] for _unused in statements]
    for one in report:
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
    """Split the findings into those that refuse the deploy and those that are allowed.

    ``released`` are the applied migrations of the live release. A contract migration is allowed when its expand migration is among
    them.
    """
    refused: list[Finding] = []
    allowed: list[Finding] = []
    expands = {one.name: marks(one.sql).get("contract") for one in pending}
    for finding in found:
        expand = expands.get(finding["migration"])
        if expand and expand in released and finding["kind"] != FAILS:
            allowed.append({**finding, "accepted": f"contract migration of {expand}, which is released"})
        elif finding["accepted"]:
            allowed.append(dict(finding))
        elif expand is not None and expand not in released:
            name = expand or "(not named in the mark)"
            refused.append(
                {
                    **finding,
                    "unreleased": f"its expand migration {name} is not part of the live release: release that first",
                }
            )
        else:
            refused.append(dict(finding))
    return refused, allowed


def lines(found: Sequence[Finding]) -> list[str]:
    """Format findings: the statement, why it is unsafe, the safe form."""
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
    """Return the first line of a refusal."""
    first = refused[0]
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return (
        f"migration {first['migration']} is not safe for the live release, line {first['line']}{more}: {first['statement']}; it {first['kind']}: "
        f"{first['why']}. Change it, mark it, or set app_migration.gate (docs/migrations.md)"
    )


def pending_lines(status: Mapping[str, Sequence[str]], known: bool) -> list[str]:
    """List the pending migrations by name, and problems of the applied ones."""
    if not known:
        return ["unknown: the image is not on the host yet, or its tool has no status"]
    waiting = status.get("pending") or []
    words = (
        ("failed earlier, resolve first", "failed"),
        ("edited since they were applied", "edited"),
        ("applied, but not in this image", "unknown"),
        ("invalid indexes, left by a concurrent build that failed", "invalid_indexes"),
    )
    return [
        ", ".join(waiting) or "no migration",
        *(f"{text}: {', '.join(status[key])}" for text, key in words if status.get(key)),
    ]


def one_way(pending: Sequence[Mapping[str, Any]]) -> str:
    """Return why migrations without a down migration cannot run under app_rollback.data 'down'; ``pending`` as db_migration lists them."""
    names = [one["name"] for one in pending if not one["has_down"]]
    if not names:
        return ""
    return (
        f"migration {', '.join(names)} has no down migration ({names[0]}.down.sql in the image), which is required by 'down' "
        "in app_rollback.data or release_data"
    )
