# SPDX-License-Identifier: Apache-2.0
"""The promises hold for any interleaving of controllers, crashes, partitions, reboots and clocks; and a broken one is noticed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.release import lease
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.fleet_model import CONFIRM, Host, Run, Violation, World

VERSIONS = ("v1", "v2", "v3")
EDGES, APPS = ["edge1", "edge2"], ["app1", "app2"]
HOST = st.sampled_from(EDGES + APPS)
PICK = st.integers(0, 7)
UNTIL = st.sampled_from(["confirm", "start", "flip", "retire", "migrate", "the end"])


def manifests_in(entries: Iterable[dict[str, Any]]) -> set[str]:
    return {item["release"] for item in entries if item["manifest"]}


def live_version(world: World) -> str:
    return str((world.hosts["edge1"].record["confirmed"] or {})["release"]).rpartition("-")[2]


class Fleet(RuleBasedStateMachine):
    """Up to three controllers at once; effects of any of them in any order."""

    world_class: type[World] = World
    misfortune = True  # what befalls hosts, beyond killed controllers and time

    def __init__(self) -> None:
        super().__init__()
        self.world = self.world_class(len(EDGES), len(APPS))
        self.world.keep_releases = (
            1  # as little as the contract allows, so that ledgers are compacted in a short search
        )
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
        """What an operator gives up: hosts that are down for everybody, never all of a kind."""
        down = {host for who, host in self.world.cut if who == "*"}
        known_limit = set(EDGES) <= down or set(APPS) <= down
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
        excluded = self.given_up() if without_silent else frozenset()
        run = self.world.begin(Run(f"run{len(self.world.runs)}", action, version, excluded, skew=skew))
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
    @rule(number=PICK, beats=st.booleans())
    def heart(self, number: int, beats: bool) -> None:
        """A run's leases are not renewed: it is stopped, or the process that renews them was killed."""
        self.pick(number).beats = beats

    @precondition(lambda self: self.active())
    @rule(number=PICK)
    def kill(self, number: int) -> None:
        self.world.kill(self.pick(number))

    @precondition(lambda self: self.world.orphans)
    @rule(effects=st.integers(1, 4))
    def orphans_go_on(self, effects: int) -> None:
        self.world.step_orphans(effects)

    @precondition(lambda self: self.world.workers)
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
    @rule(name=st.sampled_from(APPS), version=st.sampled_from(VERSIONS), healthy=st.booleans())
    def health(self, name: str, version: str, healthy: bool) -> None:
        sick = self.world.hosts[name].unhealthy
        sick.discard(version) if healthy else sick.add(version)

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
        super().timers()
        for host in (self.hosts[name] for name in self.apps):
            reported = {item["release"] for item in host.ledger if item["event"] == "confirmed"}
            for item in list(host.containers):
                host_says = item.setdefault("since", self.now(host))
                if item["release"] not in reported and self.now(host) > host_says + CONFIRM:
                    self.removes(host, [item])
                    host.containers.remove(item)


class ConfirmsAfterTheDeadline(World):
    """Edges that take a confirmation however late it is."""

    def confirmation(self, edge: Host, run: Run, release: str) -> edge_record.Record:
        in_time = min(self.now(edge), (edge.record["deadline"] or 1e9) - 1)
        return edge_record.confirm(edge.record, release=release, token=run.token, now=in_time)


class ProvesTheLeaseOnce(World):
    """Modules that go through the guard on a run's first effect on a host, and then believe that it holds."""

    def prove(self, host: Host, run: Run) -> lease.Lease:
        if (run.id, host.name) in self.proved:
            return host.lease
        self.proved.add((run.id, host.name))
        return super().prove(host, run)

    def __init__(self, edges: int, apps: int) -> None:
        super().__init__(edges, apps)
        self.proved: set[tuple[str, str]] = set()


class NeverRenews(World):
    """Controllers that live longer than their leases."""

    def renewed(self, host: Host, run: Run) -> lease.Lease:
        return host.lease


class KeepsTheLeaseOfTheDead(World):
    """Leases that end by themselves alone."""

    def ended(self, host: Host, run: Run) -> lease.Lease:
        return host.lease


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
        (NeverRenews, "^10 "),
        (KeepsTheLeaseOfTheDead, "^11 "),
    ],
)
def test_a_broken_promise_is_noticed(broken: type[World], promise: str) -> None:
    assert_noticed(Fleet, broken, promise)


def assert_noticed(machine: type[Fleet], broken: type[World], promise: str) -> None:
    """A search without misfortunes finds that a promise is broken."""
    fleet = type("Broken", (machine,), {"world_class": broken, "misfortune": False})
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
        run_state_machine_as_test(fleet, settings=search)
