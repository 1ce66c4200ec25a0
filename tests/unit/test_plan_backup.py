# SPDX-License-Identifier: Apache-2.0
"""What a release asks of the database's host before it touches the data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import backups as plan_backup
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import Desired, PlanError

SILENT = {
    "restore_point": None,
    "seconds": 60,
    "max_age_hours": None,
    "drill_max_age_hours": None,
    "incremental_after_hours": None,
}
NO_CHECK = {"service": "", "command": [], "timeout": 300.0, "in_deploy": False}
LIVE = {"id": "20261101T080000Z-v1", "services": {"backend": {}}}


def desired(engine: str, action: str = "deploy", **contract: Any) -> Desired:
    known = {"migration": {"engine": "sql"}, "backup": SILENT, "rehearsal": NO_CHECK, **contract}
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return Desired(action, known, {}, ["edge1"], ["app1"], now, database={"host": "db1", "engine": engine})


def targets(
    engine: str = "pgbackrest", migration: bool = True, **backup: Any
) -> tuple[dict[str, Any] | None, list[str]]:
    more = {} if migration else {"migration": None}
    return plan_backup.restore_point(desired(engine, backup={**SILENT, **backup}, **more), same=False)


def test_an_app_that_migrates_gets_a_restore_point_where_the_engine_can_set_one() -> None:
    step, limits = targets()
    assert step and step["point"] and step["host"] == "db1" and limits == []


@pytest.mark.parametrize("engine", ["none", "external", "pg_dump"])
def test_an_engine_that_cannot_is_no_obstacle_until_something_is_asked_of_it(engine: str) -> None:
    step, limits = targets(engine)
    assert step is None and limits


def test_an_app_without_migrations_and_without_a_wish_is_left_alone() -> None:
    assert targets("none", migration=False) == (None, [])
    assert targets(migration=False) == (None, [])
    assert targets(migration=False, restore_point=True)[0] is not None


def test_no_restore_point_when_none_is_wanted() -> None:
    assert targets(restore_point=False) == (None, [])
    step, _ = targets(restore_point=False, max_age_hours=26.0)
    assert step and not step["point"]


@pytest.mark.parametrize("name", ["max_age_hours", "drill_max_age_hours", "incremental_after_hours"])
def test_what_is_asked_of_an_engine_that_cannot_is_refused_by_name(name: str) -> None:
    with pytest.raises(PlanError, match=rf"^app_backup.{name} refused: .*backup_engine=external"):
        targets("external", **{name: 26.0})


def test_a_restore_point_that_is_insisted_on_is_refused_where_there_is_no_engine() -> None:
    with pytest.raises(PlanError, match=r"^app_backup.restore_point refused: .*nobody"):
        targets("none", restore_point=True)


def test_a_restore_point_that_costs_a_whole_backup_is_made_when_it_is_asked_for() -> None:
    step, limits = targets("pg_dump", restore_point=True)
    assert step and step["point"] is True
    assert "restore point 20261101T080000Z-v1, a full backup" in plan_backup.summary(step, LIVE["id"])
    assert any("app_backup.restore_point is true" in line for line in limits)
    step, _ = targets("pg_dump", max_age_hours=26.0)
    assert step and step["point"] is False
    step, _ = targets("pgbackrest")
    assert step and plan_backup.summary(step, "x") == "db1: restore point x, confirmed in the archive"


def test_a_misspelt_engine_is_refused() -> None:
    with pytest.raises(PlanError, match="did you mean 'pgbackrest'"):
        targets("pgbackrst")


# the rehearsal

MIGRATE = {"host": "app1", "engine": "sql"}
CHECK = {"service": "backend", "command": ["node", "smoke.js"], "timeout": 60.0, "in_deploy": True}


def test_a_deploy_rehearses_only_when_it_is_told_to_and_migrates() -> None:
    assert plan_backup.rehearsal(desired("pgbackrest"), MIGRATE, LIVE) is None
    assert plan_backup.rehearsal(desired("pgbackrest", rehearsal=CHECK), None, LIVE) is None
    assert plan_backup.rehearsal(desired("pgbackrest", "rollback", rehearsal=CHECK), MIGRATE, LIVE) is None
    found = plan_backup.rehearsal(desired("pgbackrest", rehearsal=CHECK), MIGRATE, LIVE)
    assert found and (found["host"], found["on"], found["live"], found["service"]) == ("db1", "app1", LIVE, "backend")


def test_the_playbook_of_its_own_always_rehearses() -> None:
    found = plan_backup.rehearsal(desired("pgbackrest", "rehearsal"), MIGRATE, LIVE)
    assert found and found["service"] == "" and found["live"] == {}


def test_what_does_not_serve_yet_is_not_checked() -> None:
    for live in (None, {**LIVE, "services": {}}):
        found = plan_backup.rehearsal(desired("pgbackrest", rehearsal=CHECK), MIGRATE, live)
        assert found and found["service"] == ""


@pytest.mark.parametrize(("engine", "why"), [("none", "nobody"), ("pg_dump", "no copy of the cluster")])
def test_a_rehearsal_needs_backups_that_a_copy_comes_from(engine: str, why: str) -> None:
    with pytest.raises(PlanError, match=rf"^playbooks/database/rehearse.yml refused: .*{why}"):
        plan_backup.rehearsal(desired(engine, "rehearsal"), MIGRATE, LIVE)
