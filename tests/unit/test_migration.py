# SPDX-License-Identifier: Apache-2.0
"""Migrations as plain data: files of an image, the database's record, what is half done, settings of a session."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.migration import effects
from ansible_collections.sluice.stack.plugins.module_utils.migration import files as migration
from ansible_collections.sluice.stack.plugins.module_utils.plan import plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger


def tar(**files: str) -> bytes:
    """What the engine gives for a directory."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"migrations/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return target.getvalue()


def recorded(name: str, sql: str = "select 1", *, finished: bool = True, **more: Any) -> dict[str, Any]:
    return {"name": name, "checksum": migration.File(name, sql).checksum, "finished": finished, "steps": "1", **more}


FILES = [migration.File(name, "select 1") for name in ("1_init", "2_more", "3_last")]


def test_prismas_files_are_directories_in_the_order_of_their_names() -> None:
    found = migration.read_files(
        "prisma",
        tar(**{"2_b/migration.sql": "B", "1_a/migration.sql": "A", "migration_lock.toml": "", "1_a/notes.sql": "-"}),
    )
    assert [(item.name, item.sql) for item in found] == [("1_a", "A"), ("2_b", "B")]


def test_versioned_files_have_a_way_back_when_there_is_one() -> None:
    found = migration.read_files("sql", tar(**{"2_b.up.sql": "B", "2_b.down.sql": "b", "1_a.sql": "A"}))
    assert [(item.name, item.sql, item.down) for item in found] == [("1_a", "A", None), ("2_b", "B", "b")]


def test_what_is_pending_edited_failed_and_unknown() -> None:
    rows = [recorded("0_gone"), recorded("1_init", "select 2"), recorded("2_more", finished=False)]
    found = migration.compare(FILES, rows, ["idx"])
    assert found.as_data() == {
        "applied": ["0_gone", "1_init"],
        "pending": ["2_more", "3_last"],
        "failed": ["2_more"],
        "edited": ["1_init"],
        "unknown": ["0_gone"],
        "invalid_indexes": ["idx"],
    }


def test_an_attempt_that_finished_counts_before_one_that_did_not() -> None:
    rows = [recorded("1_init"), recorded("1_init", finished=False)]
    for given in (rows, rows[::-1]):
        assert migration.compare(FILES, given).failed == ()


def test_contract_halves_are_those_that_are_there() -> None:
    marked = migration.File("2_drop", "-- sluice: contract 1_expand\nDROP TABLE a;")
    assert migration.contracts([*FILES, marked], ["1_init", "2_drop"]) == ["2_drop"]
    assert migration.contracts([marked], []) == []


@pytest.mark.parametrize(
    ("engine", "sql", "together"),
    [
        ("prisma", "select 1;", False),
        ("prisma", "select 1; select 2;", True),
        ("prisma", "-- sluice: no-transaction\nselect 1; select 2;", True),  # Prisma sends it whole all the same
        ("sql", "select 1;", True),
        ("sql", "-- sluice: no-transaction\nselect 1; select 2;", False),
    ],
)
def test_what_runs_as_one_transaction(engine: str, sql: str, together: bool) -> None:
    assert migration.File("m", sql).in_transaction(engine) is together


@pytest.mark.parametrize(
    ("words", "waited"),
    [
        ("Database error code: 55P03", True),
        ("ERROR: canceling statement due to lock timeout", True),
        ("canceling statement due to statement timeout", False),
        ("relation exists", False),
    ],
)
def test_a_lock_timeout_is_known_by_its_code_or_its_words(words: str, waited: bool) -> None:
    assert migration.is_lock_timeout(words) is waited


def test_settings_of_a_session_follow_the_servers_version() -> None:
    new, old = (migration.settings(0.5, 60, "shop", version) for version in (17, 13))
    assert new["lock_timeout"] == "500ms"
    assert set(new) - set(old) == {"client_connection_check_interval"}


@pytest.mark.parametrize(
    ("sql", "traced"),
    [
        ('CREATE TABLE "A" (id int)', "to_regclass('\"A\"') is not null"),
        ("CREATE TABLE IF NOT EXISTS s.a (id int)", "to_regclass('s.a') is not null"),
        ('ALTER TABLE "A" ADD COLUMN "b c" TEXT', "attname = 'b c'"),
        ("ALTER TABLE a ADD b text", "attname = 'b'"),
        ("ALTER TABLE a DROP COLUMN IF EXISTS b", "not (exists"),
        ('ALTER TABLE a ADD CONSTRAINT "C" CHECK (x > 0) NOT VALID', "conname = 'C'"),
        ("ALTER TABLE a RENAME COLUMN b TO c", "attname = 'b'"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON a (b)", "indisvalid"),
        ("DROP INDEX CONCURRENTLY IF EXISTS i", "not (to_regclass('i') is not null)"),
        ("UPDATE a SET b = 1", None),
        ("ALTER TABLE a ADD CHECK (x > 0)", None),
    ],
)
def test_a_statement_leaves_a_trace_or_none(sql: str, traced: str | None) -> None:
    (statement,), _ = effects.question(sql)
    found = effects.expression(statement)
    assert (traced is None and found is None) or (traced is not None and found is not None and traced in found)


@pytest.mark.parametrize(
    ("known", "nothing"),
    [
        ([False, None, False], True),
        ([None, None, False], False),
        ([True, None, False], False),
        ([True, None, True], False),
    ],
)
def test_nothing_of_a_migration_is_there_when_its_first_statement_is_not(
    known: list[bool | None], nothing: bool
) -> None:
    sql = "ALTER TABLE a ADD b int;\nUPDATE a SET b = 1;\nALTER TABLE a ADD c int;"
    assert effects.clean(effects.question(sql)[0], known) is nothing
    assert effects.clean(effects.question(f"BEGIN;{sql}COMMIT")[0], [None, *known, None]) is nothing
    assert not effects.clean([], [])


def test_the_one_statement_to_decide_about_is_named() -> None:
    statements, _ = effects.question(
        "BEGIN;\nALTER TABLE a ADD b int;\nCOMMIT;\nUPDATE a SET b = 1;\nALTER TABLE a ADD c int;"
    )
    assert effects.open_question("7_m", statements, [None, True, None, None, False]) == (
        "migration 7_m did not finish: 1 of its 3 statements are applied, the next one (line 4) may or may not be applied: it "
        "leaves no trace: UPDATE a SET b = 1"
    )
    assert "all 3 statements of migration 7_m" in effects.open_question(
        "7_m", statements, [None, True, None, True, True]
    )


def entry(release: str, token: int, event: str = "confirmed", **more: Any) -> ledger.Entry:
    manifest = {"id": release, "version": release}
    run = {"action": "deploy", "id": f"run{token}", "who": "anna"}
    return ledger.entry(event, token=token, time="t", run=run, manifest=manifest, **more)


def test_a_release_from_before_a_contract_half_is_known() -> None:
    entries = [
        entry("r1", 1),
        entry("r2", 2, contracts=[]),
        entry("r3", 3),
        entry("r4", 4, "started", contracts=["9_drop"]),
    ]
    history = ledger.merge([entries])
    assert {name: ledger.destructive_since(history, name) for name in ("r1", "r2", "r3", "r4")} == {
        "r1": ["9_drop"],
        "r2": ["9_drop"],
        "r3": ["9_drop"],
        "r4": [],
    }


def test_a_rollback_past_a_contract_half_is_refused_and_can_be_insisted_on(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    second = fleet.plan()
    fleet.execute(second)
    line = ledger.to_line({**fleet._entry("confirmed", second), "contracts": ["9_drop"], "run_id": "late", "seq": 3})
    fleet.observed["app1"]["ledger"] += line
    with pytest.raises(
        plans.PlanError, match=r"is older than the destructive migration 9_drop.*-e release_data=restore"
    ):
        fleet.plan("rollback")
    assert fleet.plan("rollback", allow_destructive=True)["manifest"]["id"] == first["manifest"]["id"]


def test_the_step_that_looks_comes_before_the_one_that_applies(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    plan = fleet.plan()
    assert plan["steps"][:2] == ["pending", "migrate"]
    assert plan["migrate"]["live_image"].startswith("registry.test:5000/shop/backend@sha256:")
