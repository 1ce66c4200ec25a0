# SPDX-License-Identifier: Apache-2.0
"""The promises hold for any interleaving of controllers, crashes, partitions, reboots and clocks; and a broken one is noticed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.release import lease
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.fleet_model import CONFIRM, LEASE, Host, Run, Violation, World, upstreams

VERSIONS = ("v1", "v2", "v3")
EDGES, APPS = ["edge1", "edge2"], ["app1", "app2"]
HOST = st.sampled_from(EDGES + APPS)
PICK = st.integers(0, 7)
UNTIL = st.sampled_from(["confirm", "start", "flip", "retire", "migrate", "the end"])


def manifests_in(entries: Iterable[dict[str, Any]]) -> set[str]:
    return {item["release"] for item in entries if item["manifest"]}


class Fleet(RuleBasedStateMachine):
    """Up to three controllers at once; effects of any of them in any order."""

    world_class: type[World] = World
    misfortune = True  # what befalls hosts, beyond killed controllers and time

    def __init__(self) -> None:
        super().__init__()
        self.world = self.world_class(len(EDGES), len(APPS))
        self.damaged: str | None = None  # the one host whose ledger is lost, whole or in part

    @initialize(live=st.booleans())
    def begin_with_a_live_release(self, live: bool) -> None:
        if live:
            self.world.finish(self.world.begin(Run("first", "deploy", VERSIONS[0])))

    def active(self) -> list[Run]:
        return [run for run in self.world.runs if not run.over]

    def pick(self, number: int) -> Run:
        return self.active()[number % len(self.active())]

    def given_up(self) -> frozenset[str]:
        """What an operator gives up: hosts that are down for everybody, never all of a kind, and not while others have yet to be brought up to date."""
        down = {host for who, host in self.world.cut if who == "*"}
        known_limit = set(EDGES) <= down or set(APPS) <= down or not self.world.excused <= down
        return frozenset() if known_limit else frozenset(down)

    @precondition(lambda self: len(self.active()) < 3)
    @rule(
        action=st.sampled_from(["deploy", "rollback"]),
        version=st.sampled_from(VERSIONS),
        without_silent=st.booleans(),
        skew=st.sampled_from([0.0, 0.0, -7200.0, 7200.0]),
        until=UNTIL,
    )
    def begin(self, action: str, version: str, without_silent: bool, skew: float, until: str) -> None:
        lost = self.given_up() if without_silent else frozenset()
        run = self.world.begin(Run(f"run{len(self.world.runs)}", action, version, lost, skew=skew))
        self.world.finish(run, until)

    @precondition(lambda self: self.active())
    @rule(number=PICK, effects=st.integers(1, 6), first=PICK)
    def go_on(self, number: int, effects: int, first: int) -> None:
        run = self.pick(number)
        for _ in range(effects):
            if not run.over:
                self.world.step(run, first)

    @precondition(lambda self: self.active())
    @rule(number=PICK, paused=st.sampled_from([0.0, 20.0, 61.0, 200.0]), until=UNTIL)
    def wakes_up(self, number: int, paused: float, until: str) -> None:
        self.world.wait(paused)
        self.world.finish(self.pick(number), until)

    @precondition(lambda self: self.active())
    @rule(number=PICK)
    def kill(self, number: int) -> None:
        self.world.kill(self.pick(number))

    @precondition(lambda self: self.world.orphans)
    @rule(effects=st.integers(1, 4))
    def orphans_go_on(self, effects: int) -> None:
        self.world.step_orphans(effects)

    @precondition(lambda self: self.world.background)
    @rule(effects=st.integers(1, 4), first=PICK)
    def hosts_retire(self, effects: int, first: int) -> None:
        self.world.step_background(effects, first)

    @rule(seconds=st.sampled_from([15.0, 61.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @precondition(lambda self: self.misfortune)
    @rule(name=HOST, seconds=st.sampled_from([5.0, 55.0, 300.0]))
    def clock_jumps(self, name: str, seconds: float) -> None:
        self.world.hosts[name].offset += seconds
        self.world.wait(0)

    @precondition(lambda self: self.misfortune)
    @rule(name=HOST, everybody=st.booleans(), number=PICK)
    def partition(self, name: str, everybody: bool, number: int) -> None:
        if everybody or not self.active():
            self.world.cut.add(("*", name))
        else:
            self.world.cut.add((self.pick(number).id, name))

    @precondition(lambda self: self.world.cut)
    @rule()
    def partitions_end(self) -> None:
        self.world.cut.clear()

    @precondition(lambda self: self.misfortune)
    @rule(name=HOST)
    def reboot(self, name: str) -> None:
        self.world.reboot(name)

    @precondition(lambda self: self.misfortune and not self.active())
    @rule(name=st.sampled_from(APPS))
    def lose_containers(self, name: str) -> None:
        world = self.world
        confirmed = world.hosts[EDGES[0]].record["confirmed"]
        others = [world.hosts[other] for other in APPS if other != name]
        # With nothing left anywhere there is nothing to serve.
        left = not confirmed or any(world.serves(host, confirmed["slot"], confirmed["release"]) for host in others)
        if left and not world.excused:
            world.lose_containers(name)

    @precondition(lambda self: self.misfortune)
    @rule(name=st.sampled_from(APPS), version=st.sampled_from(VERSIONS), well=st.booleans())
    def health(self, name: str, version: str, well: bool) -> None:
        sick = self.world.hosts[name].unhealthy
        sick.discard(version) if well else sick.add(version)

    @precondition(lambda self: self.misfortune)
    @rule(name=HOST, whole=st.booleans())
    def lose_ledger(self, name: str, whole: bool) -> None:
        host = self.world.hosts[name]
        kept = [] if whole else host.ledger[:-1]
        others = [item for other in self.world.hosts.values() if other is not host for item in other.ledger]
        # One host's copy may be lost; the last copy of a manifest is what a backup is for.
        if self.damaged in (None, name) and manifests_in(host.ledger) <= manifests_in(others + kept):
            self.damaged, host.ledger = name, kept

    def teardown(self) -> None:
        if not self.world.broken:
            self.converges()

    def converges(self) -> None:
        """With everything healed, one deploy brings all hosts to one release, and a second has nothing to do."""
        world = self.world
        for run in self.active():
            world.kill(run)
        world.step_orphans(1000)
        world.cut.clear()
        for host in world.hosts.values():
            host.unhealthy.clear()
        world.wait(100_000)
        for version in (VERSIONS[0], "v9"):
            self.deploy(version)
            assert self.deploy(version)["status"] == "nothing"
            world.step_background(1000)
            assert self.deploy(version)["status"] == "nothing"
            for edge in (world.hosts[name] for name in EDGES):
                confirmed: Any = edge.record["confirmed"]
                assert not edge_record.pending_alive(edge.record, world.now(edge))
                assert confirmed == world.hosts[EDGES[0]].record["confirmed"]
                for name in APPS:
                    assert world.serves(world.hosts[name], confirmed["slot"], confirmed["release"])
            assert world.has_migrated(version)
            assert not world.excused

    def deploy(self, version: str) -> dict[str, Any]:
        run = self.world.finish(self.world.begin(Run(f"last{len(self.world.runs)}", "deploy", version)))
        assert run.plan, run.verdict["message"]
        assert run.verdict["ok"] and not run.verdict["notes"], run.verdict
        return run.plan


TestFleet = Fleet.TestCase
TestFleet.settings = settings(settings.default, max_examples=max(120, settings.default.max_examples))


class DiscardsOnATimer(World):
    """App hosts that clear a slot when nobody told them in time that its release was confirmed."""

    def timers(self) -> None:
        for host in (self.hosts[name] for name in self.apps):
            told = {item["release"] for item in host.ledger if item["event"] == "confirmed"}
            for item in list(host.containers):
                host_says = item.setdefault("since", self.now(host))
                if item["release"] not in told and self.now(host) > host_says + CONFIRM:
                    self.removes(host, [item])
                    host.containers.remove(item)


class RetiresWhenALeaseRanOut(World):
    """Hosts that take a run whose lease ran out for one that changed nothing."""

    def undisturbed(self, host: Host, run: Run) -> bool | None:
        if host.lease.highest != run.token:
            return False
        return None if host.lease.run_id not in (None, run.id) and host.lease.alive(self.now(host)) else True


class ConfirmsAfterTheDeadline(World):
    """Edges that take a confirmation however late it is."""

    def confirmation(self, edge: Host, run: Run, release: str) -> edge_record.Record:
        in_time = min(self.now(edge), (edge.record["deadline"] or 1e9) - 1)
        return edge_record.confirm(edge.record, release=release, token=run.token, now=in_time)


class ProvesTheLeaseOnce(World):
    """Modules that go through the guard on a run's first effect on a host, and then believe that it holds."""

    def prove(self, host: Host, run: Run, extend: float) -> lease.Lease:
        if (run.id, host.name) in self.proved:
            return host.lease
        self.proved.add((run.id, host.name))
        return super().prove(host, run, extend)

    def __init__(self, edges: int, apps: int) -> None:
        super().__init__(edges, apps)
        self.proved: set[tuple[str, str]] = set()


class RetiresWithoutTheEdges(World):
    """Controllers that record and retire when an edge has not confirmed."""

    noted: Collection[str] = {*World.noted, "confirm"}


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (DiscardsOnATimer, "^[14] "),
        (ConfirmsAfterTheDeadline, "^7 "),
        (ProvesTheLeaseOnce, "^2 "),
        (RetiresWithoutTheEdges, "^[145] "),
    ],
)
def test_a_broken_promise_is_noticed(broken: type[World], promise: str) -> None:
    class Broken(Fleet):
        world_class = broken
        misfortune = False

    search = settings(
        max_examples=500,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(Violation, match=promise):
        run_state_machine_as_test(Broken, settings=search)


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
    assert deploy(world, "v2", lost=frozenset({"app2"})).verdict["ok"]
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
    deploy(world, "v1", lost=frozenset({"app1"}))
    world.cut = {("*", "app2")}
    run = deploy(world, "v2", lost=frozenset({"app2"}))  # the referee looks after each effect
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


def live_version(world: World) -> str:
    return str((world.hosts["edge1"].record["confirmed"] or {})["release"]).rpartition("-")[2]


def test_two_rollbacks_at_once_go_back_once() -> None:
    world = World()
    second = two_rollbacks_at_once(world)
    assert live_version(world) == "v2"
    assert "went live by another rollback (run back1) after this one was begun" in second.verdict["message"]
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
