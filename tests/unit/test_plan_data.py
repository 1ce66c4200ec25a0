# SPDX-License-Identifier: Apache-2.0
"""What a run does for the data before it touches them: a restore point, a rehearsal."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError


def with_backups(fleet: Any, engine: str = "pgbackrest", **backup: Any) -> Any:
    """The fleet with an app that leaves it to the engine whether there is a restore point, or says what it wants."""
    fleet.variables["app_backup"] = backup
    fleet.database = {"host": "db1", "engine": engine}
    return fleet


def test_a_release_sets_a_restore_point_before_it_migrates(fleet: Any) -> None:
    plan = with_backups(fleet).plan()
    assert plan["steps"][:4] == ["pending", "restore_point", "migrate", "start"]
    assert plan["targets"]["restore_point"] == ["db1"]
    assert plan["through"] == {"db1": "app1"}
    assert f"  backup     db1: restore point {plan['manifest']['id']}, confirmed in the archive" in plan["lines"]


def test_a_release_without_a_migration_sets_one_too(fleet: Any) -> None:
    with_backups(fleet).run()
    fleet.variables["app_env"] = {"BANNER": "hello"}
    assert "restore_point" in fleet.plan()["targets"]
    assert "migrate" not in fleet.plan()["targets"]


def test_what_goes_back_or_mends_sets_none(fleet: Any) -> None:
    with_backups(fleet).run()
    fleet.observed["app1"]["containers"] = []
    assert fleet.plan()["status"] == "repair"
    assert fleet.plan()["restore_point"] is None
    fleet.version("v1.1.0")
    fleet.run()
    assert fleet.plan("rollback")["restore_point"] is None


def test_what_the_backups_cannot_do_is_in_the_plan(fleet: Any) -> None:
    plan = with_backups(fleet, "none").plan()
    assert plan["restore_point"] is None
    reported = [line for line in plan["lines"] if line.startswith("  backup ")]
    assert "backed up by nobody" in reported[0]
    assert "a rollback cannot bring back" in reported[1]


def test_what_is_asked_of_backups_that_are_not_there_is_refused(fleet: Any) -> None:
    with pytest.raises(PlanError, match=r"app_backup\.max_age_hours refused: the data is backed up by nobody"):
        with_backups(fleet, "none", max_age_hours=26).plan()


# a rehearsal


def test_a_rehearsal_tries_the_migrations_and_changes_nothing(fleet: Any) -> None:
    with_backups(fleet).run()
    fleet.version("v1.1.0")
    plan = fleet.plan("rehearsal")
    assert plan["steps"] == ["pending", "rehearse", "unlock"]
    assert plan["targets"] == {"pending": ["app1"], "rehearse": ["app1"]}
    assert plan["status"] == "rehearsed"
    assert not any(plan[key] for key in ("start", "configure", "flip", "confirm", "record", "retire", "workers"))
    assert plan["lines"][0].startswith("Rehearse the migrations of shop v1.1.0 as release")
    assert [line.split()[0] for line in plan["lines"][1:]] == ["rehearse"]


def test_a_rehearsal_of_what_is_live_has_nothing_to_do(fleet: Any) -> None:
    with_backups(fleet).run()
    plan = fleet.plan("rehearsal")
    assert (plan["steps"], plan["status"]) == (["unlock"], "nothing")


def test_a_deploy_that_is_told_to_rehearses_before_it_sets_its_restore_point(fleet: Any) -> None:
    fleet.variables["app_rehearsal"] = {"service": "backend", "command": ["true"], "in_deploy": True}
    plan = with_backups(fleet).plan()
    assert plan["steps"][:4] == ["pending", "rehearse", "restore_point", "migrate"]
    assert plan["rehearse"]["service"] == ""  # nothing serves yet
    fleet.run()
    fleet.version("v1.1.0")
    assert fleet.plan()["rehearse"]["live"]["version"] == "v1.0.0"
