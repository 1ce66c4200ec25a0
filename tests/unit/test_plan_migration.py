# SPDX-License-Identifier: Apache-2.0
"""What becomes of the migrations of a release that is taken back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

SQL = {"engine": "sql", "service": "backend", "path": "sql"}
STEPS = ["rollback_check", "start", "flip", "confirm", "retire", "revert"]


def write(fleet: Any, plan: dict[str, Any], event: str, **more: Any) -> None:
    """An entry of a run, as the edge has it."""
    line = {**fleet._entry(event, plan), **more}
    fleet.observed["edge1"]["ledger"] += ledger.to_line(line)


def release(fleet: Any, version: str, *names: str) -> dict[str, Any]:
    """Have a version live that brought migrations; its plan."""
    fleet.version(version)
    plan: dict[str, Any] = {**fleet.plan(), "migrating": list(names)}
    fleet.execute(plan)
    return plan


def failed(fleet: Any, version: str, *names: str) -> dict[str, Any]:
    """Have a version fail when its migrations were applied; its plan."""
    fleet.version(version)
    plan: dict[str, Any] = {**fleet.plan(), "migrating": list(names)}
    fleet.execute(plan, steps=("start",))
    return plan


def reverted(fleet: Any, plan: dict[str, Any]) -> None:
    """What the last step of an undo writes."""
    revert = plan["revert"]
    write(fleet, {**plan, "manifest": {"id": revert["release"]}}, "reverted", reverted=revert["names"], manifest=None)


@pytest.fixture
def two(fleet: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """v1 is before v2, which brought two migrations; their plans."""
    fleet.variables["app_migration"] = SQL
    return release(fleet, "v1", "1_a"), release(fleet, "v2", "2_b", "3_c")


def test_what_the_undone_release_brought_goes_last_and_on_the_host_that_migrates(fleet: Any, two: Any) -> None:
    plan = fleet.plan("rollback", data="down")
    first, second = two
    assert plan["manifest"]["id"] == first["manifest"]["id"]
    assert plan["revert"]["names"] == ["2_b", "3_c"]
    assert plan["revert"]["manifest"]["id"] == plan["revert"]["release"] == second["manifest"]["id"]
    assert plan["steps"] == STEPS
    assert plan["targets"]["rollback_check"] == plan["targets"]["revert"] == ["app1"]
    reported = f"  revert     migration 3_c, 2_b of {second['manifest']['id']}, once that release is stopped, on app1"
    assert plan["lines"][-1] == reported


@pytest.mark.parametrize("data", ["forward", "restore"])
def test_without_it_a_rollback_has_not_a_step_more(fleet: Any, two: Any, data: str) -> None:
    plan = fleet.plan("rollback", data=data)
    assert plan["revert"] is None and plan["to_revert"] is None
    assert plan["steps"] == [step for step in STEPS if step not in ("rollback_check", "revert")]


def test_a_release_that_brought_nothing_is_gone_back_from_as_ever(fleet: Any, two: Any) -> None:
    release(fleet, "v3")
    assert "revert" not in fleet.plan("rollback", data="down")["steps"]


def test_going_back_further_undoes_what_all_of_them_brought(fleet: Any, two: Any) -> None:
    release(fleet, "v3", "4_d")
    failed(fleet, "v4", "5_e")
    assert fleet.plan("rollback", data="down")["revert"]["names"] == ["4_d", "5_e"]
    assert fleet.plan("rollback", data="down", release_to="v1")["revert"]["names"] == ["2_b", "3_c", "4_d", "5_e"]


def test_what_a_release_has_lived_with_since_is_not_undone(fleet: Any, two: Any) -> None:
    """v1 went live again on v2's schema, so that is v1's now."""
    fleet.run("rollback")
    release(fleet, "v3", "4_d")
    assert fleet.plan("rollback", data="down", release_to="v1")["revert"]["names"] == ["4_d"]


# a run that died in between


def test_what_was_not_undone_yet_is_what_the_same_command_does_next(fleet: Any, two: Any) -> None:
    plan = fleet.plan("rollback", data="down")
    fleet.execute(plan, steps=("start", "flip", "record"))
    again = fleet.plan("rollback", data="down")
    assert again["status"] == "repair" and again["manifest"]["id"] == plan["manifest"]["id"]
    # What the release that was left still has running is stopped first, whoever else may be about to.
    assert again["steps"] == ["rollback_check", "retire", "revert"]
    assert again["revert"]["names"] == ["2_b", "3_c"]
    for host in ("app1", "app2"):
        fleet.observed[host]["retiring"] = {"slot": "green", "until": 1e12}
    assert fleet.plan("rollback", data="down", release_to="v1")["retire"] == {"slot": "green", "release": None}
    # Named as the one that is undone, too.
    assert fleet.plan("rollback", data="down", reverted=again["revert"]["release"])["revert"] == again["revert"]
    fleet.execute(again, steps=("retire",))
    assert fleet.plan("rollback", data="down")["steps"] == ["rollback_check", "revert"]
    reverted(fleet, again)
    with pytest.raises(PlanError, match="every earlier confirmed release was itself rolled back"):
        fleet.plan("rollback", data="down")


def test_a_run_that_died_before_it_wrote_what_the_edges_confirmed_has_it_to_undo_all_the_same(
    fleet: Any, two: Any
) -> None:
    plan = fleet.plan("rollback", data="down")
    fleet.execute(plan, steps=("start", "flip"))
    again = fleet.plan("rollback", data="down")
    assert again["confirm"] == ["edge1"] and again["to_revert"] == plan["to_revert"]
    assert again["steps"] == ["rollback_check", "confirm", "retire", "revert"]
    # A deploy that mends the record does not forget it.
    fleet.version("v1")
    assert fleet.plan()["to_revert"] == plan["to_revert"] and fleet.plan()["revert"] is None


def test_what_was_begun_is_not_left_without_a_word(fleet: Any, two: Any) -> None:
    plan = fleet.plan("rollback", data="down")
    fleet.execute(plan)
    with pytest.raises(
        PlanError, match=r"has yet to revert migration 2_b, 3_c of .*-v2: finish it with -e release_data=down"
    ):
        fleet.plan("rollback")
    # The next release is the end of it.
    release(fleet, "v3", "4_d")
    assert fleet.plan("rollback", data="down")["revert"]["names"] == ["4_d"]


def test_a_host_that_may_still_run_the_release_is_waited_for(fleet: Any, two: Any) -> None:
    plan = fleet.plan("rollback", data="down", unreachable=frozenset({"app2"}))
    assert "revert" not in plan["steps"] and "rollback_check" not in plan["steps"]
    assert plan["to_revert"]["names"] == ["2_b", "3_c"]
    assert "not now: app2 is unreachable and may still run" in plan["lines"][-1]
    assert "revert" in fleet.plan("rollback", data="down", excluded=frozenset({"app2"}))["steps"]


# what cannot be


def test_prisma_has_no_way_back(fleet: Any) -> None:
    release(fleet, "v1", "1_a")
    release(fleet, "v2", "2_b")
    with pytest.raises(
        PlanError, match=r"^release_data=down cannot revert migration 2_b of .*-v2: prisma has no down migrations"
    ):
        fleet.plan("rollback", data="down")


def test_a_tool_needs_a_command_that_undoes(fleet: Any) -> None:
    tool = {"engine": "command", "service": "backend", "command": ["up"], "status": ["status"]}
    fleet.variables["app_migration"] = tool
    release(fleet, "v1", "1_a")
    release(fleet, "v2", "2_b")
    with pytest.raises(PlanError, match=r"has no app_migration.down"):
        fleet.plan("rollback", data="down")
    fleet.variables["app_migration"] = {**tool, "down": ["down"]}
    release(fleet, "v3", "3_c")
    assert fleet.plan("rollback", data="down")["revert"]["names"] == ["3_c"]


def test_what_was_taken_away_comes_back_too_late_for_the_release_before(fleet: Any, two: Any) -> None:
    """It would serve without what it uses until then."""
    plan = release(fleet, "v3", "4_drop")
    write(fleet, plan, "confirmed", contracts=["4_drop"], run_id="late", seq=3)
    with pytest.raises(PlanError, match="is older than the destructive migration 4_drop"):
        fleet.plan("rollback", data="down")
    insisted = fleet.plan("rollback", data="down", allow_destructive=True)
    assert insisted["revert"]["names"] == ["4_drop"]
    fleet.execute(insisted)
    reverted(fleet, insisted)
    assert ledger.merge_texts(item["ledger"] for item in fleet.observed.values()).contracted == []


def test_an_environment_whose_data_go_back_needs_backups_that_can(fleet: Any) -> None:
    fleet.variables |= {"app_migration": None, "app_backup": {}}
    assert fleet.plan("deploy")["restore_point"] is None
    assert fleet.plan("deploy", data="restore")["restore_point"]["point"], "there has to be one to go back to"
    fleet.database = {"host": "", "engine": "external"}
    with pytest.raises(PlanError, match=r"^app_rollback.data=restore refused: .*backup_engine=external"):
        fleet.plan("deploy", data="restore")
    assert fleet.plan("deploy", data="forward")["status"] == "change"


# one that failed


def test_a_release_that_failed_is_undone_beside_the_one_that_serves(fleet: Any, two: Any) -> None:
    bad = failed(fleet, "v3", "4_d", "5_e")["manifest"]["id"]
    plan = fleet.plan("rollback", data="down", reverted=bad)
    assert plan["manifest"]["id"] == two[1]["manifest"]["id"] and plan["flip"] == []
    assert (plan["revert"]["release"], plan["revert"]["names"]) == (bad, ["4_d", "5_e"])
    assert plan["steps"] == ["rollback_check", "retire", "revert"]
    reverted(fleet, plan)
    fleet.execute(plan, steps=("retire",))
    assert fleet.plan("rollback", data="down", reverted=bad)["status"] == "nothing"
    # Of what is live nothing was undone.
    assert fleet.plan("rollback", data="down")["revert"]["names"] == ["2_b", "3_c"]


def test_only_what_failed_beside_the_live_release_can_be_named(fleet: Any, two: Any) -> None:
    bad = failed(fleet, "v3", "4_d")["manifest"]["id"]
    with pytest.raises(
        PlanError, match=rf"^rollback_confirm=x: the live release is .*-v2; releases that failed alongside it: {bad}$"
    ):
        fleet.plan("rollback", data="down", reverted="x")
    with pytest.raises(PlanError, match="was never live, so only its changes to the data can be reverted"):
        fleet.plan("rollback", reverted=bad)
    with pytest.raises(PlanError, match="remove release_to"):
        fleet.plan("rollback", data="down", reverted=bad, release_to="v1")
    release(fleet, "v4")
    with pytest.raises(PlanError, match="releases that failed alongside it: none"):
        fleet.plan("rollback", data="down", reverted=bad)


# history


def test_history_says_what_was_undone_beside_how_the_run_ended(fleet: Any, two: Any) -> None:
    plan = fleet.run("rollback", data="down")
    reverted(fleet, plan)
    history = ledger.merge_texts(item["ledger"] for item in fleet.observed.values())
    newest = status.history_lines("shop", history, 1)[1:]
    assert "rollback  confirmed" in newest[0] and "-v1" in newest[0]
    assert newest[1].startswith("      reverted in the database: 2_b, 3_c of ") and newest[1].endswith("-v2")


def test_a_release_that_may_lack_what_it_expects_is_asked_for_before_anything_changes(fleet: Any, two: Any) -> None:
    assert fleet.plan("rollback")["schema_check"] is None, "the control: nothing was undone"
    plan = fleet.run("rollback", data="down")
    reverted(fleet, plan)
    forth = fleet.plan("rollback", release_to="v2")
    assert forth["steps"][:2] == ["schema_check", "start"] and forth["targets"]["schema_check"] == ["app1"]
    assert any(
        line.startswith("  database   app1 checks that it has the schema this release expects")
        for line in forth["lines"]
    )
    # A deploy looks itself, and what went live since was asked for.
    release(fleet, "v2", "2_b", "3_c")
    release(fleet, "v3")
    assert fleet.plan("rollback")["schema_check"] is None


# a deploy that fails after its migration


def test_a_plan_says_what_becomes_of_the_data_when_the_deploy_fails(fleet: Any, two: Any) -> None:
    fleet.version("v3")
    assert fleet.plan()["on_failure"] is None
    by_hand = fleet.plan(data="down")
    assert by_hand["on_failure"]["automatic"] is False
    assert by_hand["on_failure"]["serving"]["id"] == two[1]["manifest"]["id"]
    assert by_hand["lines"][-1] == "  on failure the run prints the command that reverts the migrations"
    assert "restores the data to the point before them" in fleet.plan(data="restore")["lines"][-1]
    fleet.variables["app_rollback"] = {"data": "down", "automatic": True}
    plan = fleet.plan(data="down")
    assert plan["on_failure"]["automatic"] and plan["on_failure"]["host"] == "app1"
    reported = "  on failure the migrations are reverted on app1 once the new release is stopped"
    assert plan["lines"][-1] == reported
    assert (
        "all data is restored automatically to the point before the migrations"
        in fleet.plan(data="restore")["lines"][-1]
    )
    # Neither here nor there when nothing is migrated, nor in a rollback.
    assert fleet.plan("rollback", data="down")["on_failure"] is None
    fleet.execute(plan)
    fleet.variables["app_env"] = {"BANNER": "Sale"}
    assert fleet.plan(data="down")["on_failure"] is None


def test_what_comes_up_with_a_release_and_stays_up_keeps_its_schema(fleet: Any, two: Any) -> None:
    fleet.variables["app_rollback"] = {"data": "down", "automatic": True}
    singleton = {"image": "registry.test:5000/shop/ledger", "port": 9000, "strategy": "recreate"}
    fleet.variables["app_services"] = {**fleet.variables["app_services"], "ledger": singleton}
    fleet.version("v3")
    assert fleet.plan(data="down")["on_failure"]["automatic"] is False


def test_a_deploy_whose_migrations_could_not_be_undone_is_refused(fleet: Any) -> None:
    fleet.run()
    fleet.version("v2")
    with pytest.raises(
        PlanError,
        match=r"^release_data=down cannot revert the migrations of this release: prisma has no down migrations",
    ):
        fleet.plan(data="down")
