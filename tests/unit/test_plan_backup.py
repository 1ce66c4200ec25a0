# SPDX-License-Identifier: Apache-2.0
"""What a release asks of the database's host before it touches the data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import backups as plan_backup
from ansible_collections.sluice.stack.plugins.module_utils.plan.wish import PlanError, Wish

SILENT = {
    "restore_point": None,
    "seconds": 60,
    "max_age_hours": None,
    "drill_max_age_hours": None,
    "incremental_after_hours": None,
}
NO_CHECK = {"service": "", "command": [], "timeout": 300.0, "in_deploy": False}
LIVE = {"id": "20261101T080000Z-v1", "services": {"backend": {}}}


def wish(engine: str, action: str = "deploy", **contract: Any) -> Wish:
    known = {"migration": {"engine": "sql"}, "backup": SILENT, "rehearsal": NO_CHECK, **contract}
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return Wish(action, known, {}, ["edge1"], ["app1"], now, database={"host": "db1", "engine": engine})


def asked(engine: str = "pgbackrest", migration: bool = True, **backup: Any) -> tuple[dict[str, Any] | None, list[str]]:
    more = {} if migration else {"migration": None}
    return plan_backup.restore_point(wish(engine, backup={**SILENT, **backup}, **more), same=False)


def test_an_app_that_migrates_gets_a_restore_point_where_the_engine_can_set_one() -> None:
    step, limits = asked()
    assert step and step["point"] and step["host"] == "db1" and limits == []


@pytest.mark.parametrize("engine", ["none", "external", "pg_dump"])
def test_an_engine_that_cannot_is_no_obstacle_until_something_is_asked_of_it(engine: str) -> None:
    step, limits = asked(engine)
    assert step is None and limits


def test_an_app_without_migrations_and_without_a_wish_is_left_alone() -> None:
    assert asked("none", migration=False) == (None, [])
    assert asked(migration=False) == (None, [])
    assert asked(migration=False, restore_point=True)[0] is not None


def test_no_restore_point_when_none_is_wanted() -> None:
    assert asked(restore_point=False) == (None, [])
    step, _ = asked(restore_point=False, max_age_hours=26.0)
    assert step and not step["point"]


@pytest.mark.parametrize("name", ["max_age_hours", "drill_max_age_hours", "incremental_after_hours"])
def test_what_is_asked_of_an_engine_that_cannot_is_refused_by_name(name: str) -> None:
    with pytest.raises(PlanError, match=rf"^app_backup.{name} refused: .*backup_engine=external"):
        asked("external", **{name: 26.0})


def test_a_restore_point_that_is_insisted_on_is_refused_where_there_is_no_engine() -> None:
    with pytest.raises(PlanError, match=r"^app_backup.restore_point refused: .*nobody"):
        asked("none", restore_point=True)


def test_a_restore_point_that_costs_a_whole_backup_is_made_when_it_is_asked_for() -> None:
    step, limits = asked("pg_dump", restore_point=True)
    assert step and step["point"] is True
    assert "restore point 20261101T080000Z-v1, which is a whole backup" in plan_backup.words(step, LIVE["id"])
    assert any("app_backup.restore_point is true" in line for line in limits)
    step, _ = asked("pg_dump", max_age_hours=26.0)
    assert step and step["point"] is False
    step, _ = asked("pgbackrest")
    assert step and plan_backup.words(step, "x") == "db1: restore point x, seen in the archive"


def test_a_misspelt_engine_is_refused() -> None:
    with pytest.raises(PlanError, match="did you mean 'pgbackrest'"):
        asked("pgbackrst")


# the rehearsal

MIGRATE = {"host": "app1", "engine": "sql"}
CHECK = {"service": "backend", "command": ["node", "smoke.js"], "timeout": 60.0, "in_deploy": True}


def test_a_deploy_rehearses_only_when_it_is_told_to_and_migrates() -> None:
    assert plan_backup.rehearsal(wish("pgbackrest"), MIGRATE, LIVE) is None
    assert plan_backup.rehearsal(wish("pgbackrest", rehearsal=CHECK), None, LIVE) is None
    assert plan_backup.rehearsal(wish("pgbackrest", "rollback", rehearsal=CHECK), MIGRATE, LIVE) is None
    found = plan_backup.rehearsal(wish("pgbackrest", rehearsal=CHECK), MIGRATE, LIVE)
    assert found and (found["host"], found["on"], found["live"], found["service"]) == ("db1", "app1", LIVE, "backend")


def test_the_playbook_of_its_own_always_rehearses() -> None:
    found = plan_backup.rehearsal(wish("pgbackrest", "rehearsal"), MIGRATE, LIVE)
    assert found and found["service"] == "" and found["live"] == {}


def test_what_does_not_serve_yet_is_not_checked() -> None:
    for live in (None, {**LIVE, "services": {}}):
        found = plan_backup.rehearsal(wish("pgbackrest", rehearsal=CHECK), MIGRATE, live)
        assert found and found["service"] == ""


@pytest.mark.parametrize(("engine", "why"), [("none", "nobody"), ("pg_dump", "no copy of the cluster")])
def test_a_rehearsal_needs_backups_that_a_copy_comes_from(engine: str, why: str) -> None:
    with pytest.raises(PlanError, match=rf"^migration_rehearsal.yml refused: .*{why}"):
        plan_backup.rehearsal(wish(engine, "rehearsal"), MIGRATE, LIVE)
