# SPDX-License-Identifier: Apache-2.0
"""What befell the fleet in memory once, told step by step; what would break it again is seen to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import Lease

from tests.support.fleet_model import LEASE, Host, Run, Violation, World, upstreams
from tests.support.fleet_referee import Module
from tests.unit.test_state_machine import APPS, EDGES, VERSIONS, live_version


class RetiresWhenALeaseRanOut(World):
    """Hosts that take a run whose lease ran out for one that changed nothing."""

    def undisturbed(self, host: Host, run: Run) -> bool | None:
        if host.lease.highest != run.token:
            return False
        return None if host.lease.run_id not in (None, run.id) and host.lease.alive(self.lease_now(host)) else True


class TakesRunningForHealthy(World):
    """Hosts that do not tell a container that never got well from one that serves."""

    def reported(self, item: Mapping[str, Any]) -> str:
        return str(item["state"])


def deploy(world: World, version: str, **more: Any) -> Run:
    return world.finish(world.begin(Run(f"run{len(world.runs)}", "deploy", version, **more)))


def not_well_after_a_repair(world: World) -> Run:
    """A host loses its containers, and the release does not get well when it is started there again."""
    deploy(world, "v1")
    world.lose_containers("app1")
    world.hosts["app1"].unhealthy.add("v1")
    assert not deploy(world, "v1").verdict["ok"]
    return deploy(world, "v1")


def test_a_container_that_never_got_well_is_repaired_until_it_does() -> None:
    run = not_well_after_a_repair(World())
    assert run.plan and run.plan["start"] == ["app1"]
    assert not run.verdict["ok"]


def test_a_container_that_runs_is_not_taken_for_a_healthy_one() -> None:
    with pytest.raises(Violation, match=r"^1 edge1 sends visitors to"):
        not_well_after_a_repair(TakesRunningForHealthy())


def test_a_host_that_was_lost_gets_no_visitor_before_it_holds_the_live_release() -> None:
    world = World()
    deploy(world, "v1")
    world.cut.add(("*", "app2"))
    assert deploy(world, "v2", excluded=frozenset({"app2"})).verdict["ok"]
    world.cut.clear()
    run = deploy(world, "v3")  # the referee looks after each effect
    both = {world.hosts[name].address for name in APPS}
    assert run.plan and run.verdict["ok"]
    assert upstreams(run.plan["edge_config"]) == {"green": {world.hosts["app1"].address}, "blue": both}
    again = deploy(world, "v3").plan
    assert again and again["status"] == "nothing"


def test_what_only_a_host_that_is_given_up_may_still_serve_is_asked_of_no_other() -> None:
    world = World()
    world.cut = {("*", "app1")}
    deploy(world, "v1", excluded=frozenset({"app1"}))
    world.cut = {("*", "app2")}
    run = deploy(world, "v2", excluded=frozenset({"app2"}))  # the referee looks after each effect
    assert run.plan and run.verdict["ok"]
    one, two = ({world.hosts[name].address} for name in APPS)
    assert upstreams(run.plan["edge_config"]) == {"blue": two, "green": one}


def test_an_edge_that_was_given_up_does_not_say_what_is_live_when_it_is_back() -> None:
    world = World()
    for version in ("v1", "v2"):
        deploy(world, version)
        world.step_background(1000)
    died = world.finish(world.begin(Run("died", "deploy", "v1")), until="confirm")
    world.step(died, first=1)
    world.kill(died)
    assert [world.hosts[edge].record["confirmed"]["slot"] for edge in EDGES] == ["green", "blue"]  # type: ignore[index]
    # One more run goes on without the edge that confirmed, clears the slot it uses, and dies, too.
    world.cut = {("*", "edge2")}
    world.wait(10 * LEASE)
    world.kill(world.finish(world.begin(Run("too", "deploy", "v3", frozenset({"edge2"}))), until="confirm"))
    world.cut.clear()
    world.wait(10 * LEASE)
    run = deploy(world, "v3")  # the referee looks after each effect
    assert run.verdict["ok"] and run.plan and str(run.plan["live"]["release"]).endswith("-v2")


def test_a_host_whose_containers_are_gone_costs_the_next_release_no_reload() -> None:
    world = World()
    deploy(world, "v1")
    world.lose_containers("app2")
    run = deploy(world, "v2")
    assert run.plan and run.verdict["ok"]
    assert run.plan["configure"] == []


def a_rollback_that_died_before_it_told_the_app_hosts(world: World) -> None:
    """The edges went back to the old slot, which the app hosts are still about to stop."""
    deploy(world, "v1")
    deploy(world, "v2")
    rollback = world.finish(world.begin(Run("back", "rollback", "v2")), until="retire")
    world.kill(rollback)
    world.wait(LEASE + 1)
    world.step_background(1000)


def test_what_a_dead_rollback_went_back_to_is_not_stopped() -> None:
    world = World()
    a_rollback_that_died_before_it_told_the_app_hosts(world)
    assert world.serves(world.hosts["app1"], "blue", world.hosts["edge1"].record["confirmed"]["release"])  # type: ignore[index]


def test_a_lease_that_ran_out_does_not_say_that_nothing_happened() -> None:
    with pytest.raises(Violation, match=r"^4 app"):
        a_rollback_that_died_before_it_told_the_app_hosts(RetiresWhenALeaseRanOut())


class ReleasesForTheDead(World):
    """Controllers whose leases are given back when they die, as if nothing had happened."""

    def ended(self, host: Host, run: Run) -> Lease:
        return leases.release(host.lease, run_id=run.id)


def test_a_run_that_died_does_not_give_the_app_back_as_if_nothing_had_happened() -> None:
    with pytest.raises(Violation, match=r"^4 app"):
        a_rollback_that_died_before_it_told_the_app_hosts(ReleasesForTheDead())


class StopsUnmarked(World):
    """Hosts that stop a slot without the lock, and do not say so."""

    def condemned(self, item: dict[str, Any]) -> None:
        pass


def a_rollback_while_the_slot_is_being_stopped(world: World) -> Run:
    """The host has begun to stop the slot that the rollback goes back to, which takes as long as the service's grace."""
    deploy(world, "v1")
    deploy(world, "v2")
    world.step_background(2)
    assert world.hosts["app1"].containers[0]["state"] == "running"
    run = world.finish(world.begin(Run("back", "rollback", "v2")))  # the referee looks after each effect
    world.step_background(1000)
    return run


def test_a_slot_that_is_being_stopped_is_not_gone_back_to_as_it_is() -> None:
    world = World()
    run = a_rollback_while_the_slot_is_being_stopped(world)
    assert run.plan and run.verdict["ok"]
    assert run.plan["start"] == ["app1"]
    assert live_version(world) == "v1"


def test_a_slot_that_is_being_stopped_unmarked_is_noticed() -> None:
    with pytest.raises(Violation, match=r"^4 app1 removes"):
        a_rollback_while_the_slot_is_being_stopped(StopsUnmarked())


class ForgetsWhenItBegan(World):
    """Controllers that take what is live when they plan for what their operator saw."""

    def age(self, run: Run) -> float:
        return 0.0


def two_rollbacks_at_once(world: World) -> Run:
    """Two operators go back from the same release; the second run comes to its plan when the first is done."""
    for version in VERSIONS:
        deploy(world, version)
        world.step_background(1000)
    first = world.begin(Run("back1", "rollback", VERSIONS[-1]))
    second = world.begin(Run("back2", "rollback", VERSIONS[-1]))
    assert world.finish(first).verdict["ok"]
    return world.finish(second)


def test_two_rollbacks_at_once_go_back_once() -> None:
    world = World()
    second = two_rollbacks_at_once(world)
    assert live_version(world) == "v2"
    assert "went live through another rollback (run back1) after this run started" in second.verdict["message"]
    third = world.finish(world.begin(Run("back3", "rollback", VERSIONS[-1])))
    assert third.verdict["ok"] and live_version(world) == "v1", "who asks again, knowing it, goes back further"


def test_a_rollback_takes_the_app_from_a_deploy_after_a_rollback_long_ago() -> None:
    world = World()
    for version in VERSIONS:
        deploy(world, version)
        world.step_background(1000)
    world.finish(world.begin(Run("long ago", "rollback", VERSIONS[-1])))
    world.wait(3600)
    rollback = world.begin(Run("back", "rollback", VERSIONS[-1]))
    world.finish(world.begin(Run("forth", "deploy", "v4")), until="confirm")  # has flipped just now
    assert world.finish(rollback).verdict["ok"]
    assert live_version(world) == "v1"


def test_a_run_that_does_not_know_when_it_began_goes_back_twice() -> None:
    world = ForgetsWhenItBegan()
    two_rollbacks_at_once(world)
    assert live_version(world) == "v1"


class AdoptsAtOnce(World):
    """Edges that adopt the live release with the upstreams they had."""

    def narrow(self, edge: Host, run: Run) -> Module:
        yield from ()
        return {}


def both_halves_were_excluded(world: World) -> None:
    """One half of the fleet got v2 while the other was lost, and then the other way round with v3."""
    deploy(world, "v1")
    world.step_background(1000)
    for version, lost in (("v2", {"edge2", "app2"}), ("v3", {"edge1", "app1"})):
        world.cut = {("*", name) for name in lost}
        assert deploy(world, version, excluded=frozenset(lost)).verdict["ok"]
        world.step_background(1000)
    world.cut.clear()


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_an_edge_adopts_the_live_release_with_the_hosts_that_have_it(version: str) -> None:
    world = World()
    both_halves_were_excluded(world)
    run = deploy(world, version)  # the referee looks after each effect
    assert run.plan and run.verdict["ok"], run.verdict
    assert run.plan["narrow"]
    assert deploy(world, version).plan["status"] == "nothing"  # type: ignore[index]


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_an_edge_that_adopts_at_once_sends_requests_to_hosts_without_the_release(version: str) -> None:
    world = AdoptsAtOnce()
    both_halves_were_excluded(world)
    with pytest.raises(Violation, match=r"^1 edge\d sends visitors to"):
        deploy(world, version)


def test_an_edge_that_only_missed_a_confirm_is_not_reloaded() -> None:
    world = World()
    for version in ("v1", "v2"):
        deploy(world, version)
        world.step_background(1000)
    died = world.finish(world.begin(Run("died", "deploy", "v3")), until="confirm")
    world.step(died, first=1)
    world.kill(died)
    world.wait(10 * LEASE)
    run = deploy(world, "v3")
    assert run.plan and run.verdict["ok"]
    assert run.plan["converge"] == ["edge1"] and not run.plan["narrow"] and not run.plan["configure"]


def test_a_host_that_was_away_while_ledgers_were_compacted_brings_back_no_old_release() -> None:
    world = World()
    world.keep_releases = 1
    deploy(world, "v1")
    world.step_background(1000)
    world.cut = {("*", "app2")}
    for version in ("v2", "v3", "v4", "v5"):
        assert deploy(world, version, excluded=frozenset({"app2"})).verdict["ok"]
        world.step_background(1000)
    world.cut.clear()
    assert any(item["release"].endswith("-v1") for item in world.hosts["app2"].ledger)
    assert deploy(world, "v5").verdict["ok"]
    assert deploy(world, "v5").plan["status"] == "nothing"  # type: ignore[index]
    back = world.finish(world.begin(Run("back", "rollback", "v5")))
    assert back.verdict["ok"] and live_version(world) == "v4"
    world.step_background(1000)
    further = world.finish(world.begin(Run("further", "rollback", "v5")))
    assert "every earlier confirmed release was itself rolled back" in further.verdict["message"]
