# SPDX-License-Identifier: Apache-2.0
"""The migration gate on the corpus of fixtures/gate, and what it does with marks and comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.action.migration_gate import squawk
from ansible_collections.sluice.stack.plugins.module_utils.migration import gate
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import File
from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import plain_name, split

CORPUS = Path(__file__).parent / "fixtures" / "gate"
EXPECTED: list[dict[str, Any]] = yaml.safe_load((CORPUS / "expected.yml").read_text())
# What the gate cannot know: docs/migrations.md says so too.
MISSED = {"s52_function_that_updates.sql", "s53_dynamic_sql.sql"}


def read(item: dict[str, Any]) -> gate.Migration:
    file = File(item["file"], (CORPUS / item["file"]).read_text())
    return gate.Migration(file.name, file.sql, file.in_transaction(item["engine"]))


def looked_at(*migrations: gate.Migration) -> list[gate.Finding]:
    return gate.inspect(migrations, squawk(migrations))


def one(sql: str, name: str = "m") -> gate.Migration:
    return gate.Migration(name, sql, File(name, sql).in_transaction("prisma"))


@pytest.fixture(scope="module")
def found() -> dict[str, list[gate.Finding]]:
    """The findings of every migration of the corpus, each looked at alone."""
    said = squawk([read(item) for item in EXPECTED])
    return {item["file"]: gate.inspect([read(item)], said) for item in EXPECTED}


def test_the_corpus_is_whole() -> None:
    assert {item["file"] for item in EXPECTED} == {path.name for path in CORPUS.glob("*.sql")}
    dangerous = [item for item in EXPECTED if item["dangerous"]]
    assert len(EXPECTED) >= 40
    assert abs(len(EXPECTED) - 2 * len(dangerous)) <= 4


def test_what_hurts_is_caught_and_what_is_safe_passes(found: dict[str, list[gate.Finding]]) -> None:
    dangerous = {item["file"] for item in EXPECTED if item["dangerous"]}
    safe = {item["file"] for item in EXPECTED} - dangerous
    missed = {name for name in dangerous if not found[name]}
    alarms = {name for name in safe if found[name]}
    print(
        f"caught {len(dangerous - missed)} of {len(dangerous)}, false alarms {len(alarms)} of {len(safe)}, missed {missed}"
    )
    assert missed == MISSED
    assert len(missed) <= 0.05 * len(dangerous)
    assert len(alarms) <= 0.05 * len(safe)


def test_squawk_alone_would_not_do() -> None:
    """The control of our own rules: without them too much is missed."""
    dangerous = [item for item in EXPECTED if item["dangerous"]]
    said = squawk([read(item) for item in EXPECTED])
    caught = [item for item in dangerous if any(one["rule_name"] not in gate.HARMLESS for one in said[item["file"]])]
    print(f"squawk alone: {len(caught)} of {len(dangerous)}")
    assert len(caught) < 0.8 * len(dangerous)


def test_a_finding_says_where_why_and_what_to_do_instead(found: dict[str, list[gate.Finding]]) -> None:
    (finding,) = found["p21_two_steps_of_which_one_hurts.sql"]
    assert finding["statement"] == 'CREATE INDEX "Booking_createdAt_idx" ON "Booking"("createdAt")'
    assert (finding["line"], finding["rule"], finding["kind"]) == (13, "require-concurrent-index-creation", "locks")
    text = "\n".join(gate.lines([finding]))
    assert "writes to the table are blocked while the index is built" in text
    assert "safe: CREATE INDEX CONCURRENTLY" in text


@pytest.mark.parametrize("name", sorted({item["file"] for item in EXPECTED if item["dangerous"]} - MISSED))
def test_every_finding_is_explained(found: dict[str, list[gate.Finding]], name: str) -> None:
    for finding in found[name]:
        assert finding["rule"] in gate.SQUAWK or not finding["why"].startswith("see squawk")
        assert finding["why"]
        assert finding["safe"]


def test_a_table_of_an_earlier_pending_migration_is_new() -> None:
    create = one('CREATE TABLE "Invoice" ("id" TEXT PRIMARY KEY);', "1")
    index = one('CREATE INDEX "Invoice_idx" ON "public"."Invoice"("id");', "2")
    assert looked_at(create, index) == []
    assert [item["rule"] for item in looked_at(index)] == ["require-concurrent-index-creation"]


DROP = one('-- sluice: contract 1_expand\nALTER TABLE "Booking" DROP COLUMN "phone";', "2_contract")


def test_a_contract_half_passes_once_its_expand_half_is_released() -> None:
    refused, allowed = gate.judge([DROP], looked_at(DROP), ["1_expand"])
    assert refused == []
    assert allowed[0]["accepted"] == "contract migration of 1_expand, which is released"


@pytest.mark.parametrize("released", [[], ["0_other"]])
def test_a_contract_half_is_refused_before(released: list[str]) -> None:
    refused, allowed = gate.judge([DROP], looked_at(DROP), released)
    assert allowed == []
    assert "its expand migration 1_expand is not part of the live release" in "\n".join(gate.lines(refused))


def test_a_mark_that_names_nothing_opens_nothing() -> None:
    bare = one('-- sluice: contract\nALTER TABLE "Booking" DROP COLUMN "phone";')
    assert gate.judge([bare], looked_at(bare), ["", "m"])[0]


def test_a_mark_in_a_string_is_no_mark() -> None:
    assert gate.marks("INSERT INTO t VALUES ('-- sluice: contract x');") == {}


def test_a_lock_can_be_accepted_by_a_comment_and_a_loss_cannot() -> None:
    index = one('-- 40 rows\n-- squawk-ignore require-concurrent-index-creation\nCREATE INDEX "i" ON "Plan"("code");')
    refused, allowed = gate.judge([index], looked_at(index), [])
    assert not refused
    assert allowed[0]["accepted"] == "squawk-ignore require-concurrent-index-creation"
    drop = one('-- squawk-ignore ban-drop-column\nALTER TABLE "Plan" DROP COLUMN "code";')
    assert gate.judge([drop], looked_at(drop), [])[0]
    bulk = one("-- squawk-ignore bulk-change\nUPDATE plans SET price = 0;")
    assert not gate.judge([bulk], looked_at(bulk), [])[0]


def test_a_comment_holds_for_its_own_statement_only() -> None:
    two = one("-- squawk-ignore bulk-change\nUPDATE plans SET price = 0;\nUPDATE bookings SET city = '';")
    refused, allowed = gate.judge([two], looked_at(two), [])
    assert [item["line"] for item in refused] == [3]
    assert [item["line"] for item in allowed] == [2]


def test_what_cannot_be_read_is_refused() -> None:
    broken = one("ALTER TABLE ADD COLUMN;")
    assert gate.judge([broken], looked_at(broken), [])[0]


def test_statements_are_cut_where_postgres_cuts_them() -> None:
    sql = """-- a; b
SELECT 'x;''y', E'\\';', "a;b" /* ; /* ; */ ; */ ;
DO $x$ BEGIN; PERFORM $$;$$; END $x$;

  ;
CREATE TABLE t (a int) -- the end"""
    statements = split(sql)
    assert [item.line for item in statements] == [2, 3, 6]
    assert statements[0].head == "SELECT '', '', \"a;b\""
    assert statements[1].head == "DO ''"
    assert statements[1].bodies == (" BEGIN; PERFORM $$;$$; END ",)
    assert statements[2].comments == ("the end",)


@pytest.mark.parametrize(
    ("written", "name"), [('"public"."Booking"', "Booking"), ("Bookings", "bookings"), ('b."A""b"', 'b.A"b')]
)
def test_names_are_those_of_the_catalogue(written: str, name: str) -> None:
    assert plain_name(written) == name


def test_what_has_to_be_undone_has_a_way_back() -> None:
    both = [{"name": "1_a", "has_down": True}, {"name": "2_b", "has_down": False}]
    assert gate.one_way(both).startswith("migration 2_b has no down migration (2_b.down.sql in the image), which")
    assert gate.one_way(both[:1]) == gate.one_way([]) == ""
