# SPDX-License-Identifier: Apache-2.0
"""The schema goes back last, whatever else happens: nothing serves or runs without what it uses; and a broken order is noticed."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.support.fleet_model import LEASE, Host, Run, Violation
from tests.support.fleet_referee import Module
from tests.support.fleet_schema import Schema
from tests.unit.test_state_machine import VERSIONS, Fleet, assert_noticed, live_version

STEPS = ["confirm", "start", "flip", "retire", "migrate", "revert", "reverted", "report", "the end"]


class Migrating(Fleet):
    """Controllers that undo what they migrated, or what a release brought that they go back from."""

    world_class = Schema

    @precondition(lambda self: len(self.active()) < 3)
    @rule(
        action=st.sampled_from(["deploy", "rollback"]),
        version=st.sampled_from(VERSIONS),
        without_silent=st.booleans(),
        data=st.sampled_from(["down", "down", "forward"]),
        named=st.sampled_from(["", "to", "reverted"]),
        until=st.sampled_from(STEPS),
    )
    def begin(self, action: str, version: str, without_silent: bool, data: str, named: str, until: str) -> None:  # type: ignore[override]
        excluded = self.given_up() if without_silent else frozenset()
        run = Run(f"run{len(self.world.runs)}", action, version, excluded, data=data)
        if action == "rollback":
            run.to = version if named == "to" else None
            run.reverted = next(iter(self.world.failed_alongside()[::-1]), None) if named == "reverted" else None
        self.world.begin(run)
        self.world.finish(run, until)

    @precondition(
        lambda self: self.world.points and not self.active() and not self.world.cut and not self.world.orphans
    )
    @rule(number=st.integers(0, 7))
    def restore(self, number: int) -> None:
        points = sorted(self.world.points)
        self.world.restore(points[number % len(points)])


TestMigrating = Migrating.TestCase
TestMigrating.settings = settings(settings.default, max_examples=max(120, settings.default.max_examples))


class UndoesFirst(Schema):
    """Controllers that undo before the release before serves."""

    def steps(self, run: Run) -> dict[str, Callable[[Host], Module]]:
        found = super().steps(run)
        first = {
            step: found[step] for step in ("narrow", "reconcile", "pending", "schema_check", "rollback_check", "revert")
        }
        return first | found


class DoesNotStop(Schema):
    """App hosts that say they have stopped a release, and have not."""

    def _stop(self, host: Host, run: Run, slot: str) -> Generator[None, None, None]:
        yield from ()


@pytest.mark.parametrize("broken", [UndoesFirst, DoesNotStop])
def test_a_broken_order_is_noticed(broken: type[Schema]) -> None:
    assert_noticed(Migrating, broken, "^9 ")


def go(world: Schema, action: str, version: str, data: str = "down", until: str = "") -> Run:
    return world.finish(world.begin(Run(f"run{len(world.runs)}", action, version, data=data)), until)


class BelievesTheLedger(Schema):
    """Hosts that do not look whether the database still has what an earlier release was live with."""

    def schema_check(self, host: Host, run: Run) -> Module:
        yield
        return {}


def back_to_what_was_undone(world: Schema) -> Run:
    for version in ("v1", "v2"):
        go(world, "deploy", version)
        world.step_background(1000)
    assert go(world, "rollback", "v2").verdict["ok"] and world.database == ["1_change"]
    return world.finish(world.begin(Run("forth", "rollback", "v2", to="v2")))


def test_a_release_whose_migrations_were_undone_is_not_gone_back_to() -> None:
    world = Schema()
    run = back_to_what_was_undone(world)
    assert run.verdict["step"] == "schema_check" and live_version(world) == "v1"
    assert go(world, "deploy", "v2").verdict["ok"] and live_version(world) == "v2"


def test_nor_when_the_run_that_undid_them_died_before_it_said_so() -> None:
    world = Schema()
    for version in ("v1", "v2"):
        go(world, "deploy", version)
        world.step_background(1000)
    world.kill(go(world, "rollback", "v2", until="reverted"))
    world.wait(10 * LEASE)
    assert world.database == ["1_change"]
    forth = world.finish(world.begin(Run("forth", "rollback", "v2", to="v2")))
    assert forth.verdict["step"] == "schema_check" and live_version(world) == "v1"


def test_a_release_is_not_served_without_what_it_was_live_with() -> None:
    with pytest.raises(Violation, match=r"^8 .* is confirmed without its migration"):
        back_to_what_was_undone(BelievesTheLedger())


def test_what_a_rollback_undoes_is_what_came_since() -> None:
    world = Schema()
    for version in VERSIONS:
        go(world, "deploy", version)
        world.step_background(1000)
    assert world.database == ["1_change", "2_change", "3_change"]
    assert go(world, "rollback", "v3").verdict["ok"] and world.database == ["1_change", "2_change"]
    assert go(world, "rollback", "v3", "forward").verdict["ok"] and world.database == ["1_change", "2_change"]


@pytest.mark.parametrize("until", ["retire", "revert", "reverted"])
def test_a_rollback_that_died_is_ended_by_the_same_command(until: str) -> None:
    world = Schema()
    for version in ("v1", "v2"):
        go(world, "deploy", version)
        world.step_background(1000)
    world.kill(go(world, "rollback", "v2", until=until))
    world.step_orphans(1000)
    world.wait(10 * LEASE)
    again = go(world, "rollback", "v2")
    assert again.verdict["ok"] and again.plan and again.plan["flip"] == []
    assert world.database == ["1_change"]
    assert go(world, "rollback", "v2").verdict["ok"] is False, "there is nothing before"


def fails_at_start(world: Schema) -> Run:
    """A deploy whose release gets well on one host and not on the other."""
    go(world, "deploy", "v1")
    world.hosts["app2"].unhealthy.add("v2")
    run = go(world, "deploy", "v2")
    assert not run.verdict["ok"] and run.verdict["step"] == "start"
    return run


def test_a_deploy_that_fails_leaves_nothing_of_its_schema() -> None:
    world = Schema()
    fails_at_start(world)
    assert world.database == ["1_change"]
    world.hosts["app2"].unhealthy.clear()
    assert go(world, "deploy", "v2").verdict["ok"] and world.database == ["1_change", "2_change"]


def test_what_a_failed_release_left_goes_when_a_person_names_it_and_the_live_one_stays() -> None:
    world = Schema()
    go(world, "deploy", "v1")
    world.hosts["app2"].unhealthy.add("v2")
    assert not go(world, "deploy", "v2", data="forward").verdict["ok"]
    assert world.database == ["1_change", "2_change"]
    (failed,) = world.failed_alongside()
    assert world.finish(world.begin(Run("back", "rollback", "v2", reverted=failed, data="down"))).verdict["ok"]
    assert world.database == ["1_change"] and live_version(world) == "v1"


class UndoesUnderTheFailed(Schema):
    """Hosts that leave a release up that failed when what it migrated is undone."""

    def stop(self, host: Host, run: Run, slot: str) -> Module:
        yield
        return {}


def test_what_a_failed_deploy_migrated_is_not_undone_under_it() -> None:
    with pytest.raises(Violation, match=r"^9 2_change is undone, and app1 runs"):
        fails_at_start(UndoesUnderTheFailed())


def a_host_falls_silent_before_it_stops_the_release(world: Schema) -> Run:
    for version in ("v1", "v2"):
        go(world, "deploy", version)
        world.step_background(1000)
    rollback = go(world, "rollback", "v2", until="retire")
    world.cut.add(("*", "app2"))
    return world.finish(rollback)


def test_nothing_is_undone_when_a_host_may_still_run_it() -> None:
    world = Schema()
    run = a_host_falls_silent_before_it_stops_the_release(world)
    assert run.verdict["step"] == "retire" and world.database == ["1_change", "2_change"]
    assert live_version(world) == "v1"


class NotesThatItDidNotStop(Schema):
    """Controllers that go on to undo although a host has not stopped the release."""

    noted_before_undo = ("retire",)


def test_what_a_silent_host_runs_is_seen_to_lose_its_schema() -> None:
    with pytest.raises(Violation, match=r"^9 2_change is undone, and app2 runs"):
        a_host_falls_silent_before_it_stops_the_release(NotesThatItDidNotStop())


# when the data went back under the live release


class UndoesAll(Schema):
    """Hosts that undo whatever a deploy that failed has applied, also what the live release brings too."""

    def kept_for(self, serving: str) -> set[str]:
        return set()


def a_deploy_fails_after_a_restore(world: Schema) -> None:
    """The live release lacks its migration, and what the next one applied is undone again."""
    go(world, "deploy", "v2")
    world.restore(next(iter(world.points)))
    assert world.database == []
    world.hosts["app2"].unhealthy.add("v3")
    assert not go(world, "deploy", "v3").verdict["ok"]


def test_what_the_live_release_brings_too_stays() -> None:
    world = Schema()
    a_deploy_fails_after_a_restore(world)
    assert world.database == ["1_change", "2_change"]


def test_what_is_undone_under_the_live_release_is_noticed() -> None:
    with pytest.raises(Violation, match=r"^9 [12]_change is undone, and app1 runs"):
        a_deploy_fails_after_a_restore(UndoesAll())


def test_a_repair_ends_a_flip_that_had_gone_back() -> None:
    world = Schema()
    go(world, "deploy", "v1")
    world.restore(next(iter(world.points)))
    world.kill(go(world, "deploy", "v2", until="confirm"))
    world.wait(10 * LEASE)
    world.restore(next(iter(world.points)))
    assert go(world, "deploy", "v1").verdict["ok"] and world.database == ["1_change"]
    assert world.hosts["edge1"].record["pending"] is None


def test_data_that_lacked_something_at_a_point_lack_it_again_when_they_go_back_there() -> None:
    world = Schema()
    first = go(world, "deploy", "v1")
    world.restore((first.plan or {})["manifest"]["id"])
    world.hosts["app1"].unhealthy.add("v2")
    second = go(world, "deploy", "v2")
    assert not second.verdict["ok"] and world.database == ["1_change"]
    world.restore((second.plan or {})["manifest"]["id"])
    assert world.database == []
    assert go(world, "deploy", "v1").verdict["ok"] and world.database == ["1_change"]
