# SPDX-License-Identifier: Apache-2.0
"""At most one run may change an app on a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, read_lease
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import Lease, LeaseHeld, LeaseLost
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

FREE = Lease("shop")


def take(
    lease: Lease, run: str, now: float = 0, preempt: bool = False, ttl: float = 60, begun: str | None = None
) -> Lease:
    who = "anna@build"
    began = begun or f"{now:012.3f}"
    return leases.fence(lease, run_id=run, action="deploy", who=who, begun=began, ttl=ttl, preempt=preempt, now=now)


def prove(lease: Lease, run: str, token: int, now: float = 0, extend: float = 60) -> Lease:
    return leases.prove(lease, run_id=run, token=token, extend=extend, now=now)


def test_a_live_owner_is_respected_and_named() -> None:
    with pytest.raises(LeaseHeld) as caught:
        take(take(FREE, "a"), "b", now=10)
    assert str(caught.value) == (
        "app shop is being changed: deploy by anna@build (run a), started 10 s ago, lease ends in 50 s. "
        "Wait for it (-e release_wait_seconds=300), or pre-empt it with rollback.yml"
    )


def test_a_dead_lease_is_taken_over() -> None:
    assert take(take(FREE, "a"), "b", now=60).run_id == "b"


def test_a_rollback_takes_the_app_from_a_live_owner_who_then_may_do_nothing() -> None:
    lease = take(take(FREE, "a"), "b", now=10, preempt=True)
    with pytest.raises(LeaseLost, match="run a does not own app shop on this host; the owner is deploy by anna@build"):
        prove(lease, "a", token=1, now=11)
    assert prove(lease, "b", token=2, now=11).highest == 2


def test_a_lease_that_ran_out_but_was_taken_by_nobody_is_still_its_runs() -> None:
    assert prove(take(FREE, "a"), "a", token=1, now=1000).expires == 1060


def test_a_step_extends_the_lease_and_never_shortens_it() -> None:
    lease = prove(take(FREE, "a", ttl=600), "a", token=1, now=10, extend=5)
    assert lease.expires == 600


def test_an_older_token_is_refused_for_good() -> None:
    lease = take(Lease("shop", highest=7), "a")
    with pytest.raises(LeaseLost, match="token 6 of run a is older than token 7 already seen"):
        prove(lease, "a", token=6)


def test_giving_back_keeps_the_highest_token_and_leaves_another_owner_alone() -> None:
    mine = prove(take(FREE, "a"), "a", token=3)
    assert leases.release(mine, run_id="a") == Lease("shop", highest=3)
    assert leases.release(mine, run_id="b") == mine


def test_of_two_runs_that_start_together_every_host_takes_the_older_one() -> None:
    one, two = {"run": "a", "begun": "2026-11-22T10:00:00Z"}, {"run": "b", "begun": "2026-11-22T10:00:01Z"}
    assert take(take(FREE, **two), **one).run_id == "a"
    with pytest.raises(LeaseHeld):
        take(take(FREE, **one), **two)


def test_a_run_that_has_changed_something_is_not_displaced_by_an_older_one() -> None:
    working = prove(take(FREE, "b", begun="2"), "b", token=1)
    with pytest.raises(LeaseHeld):
        take(working, "a", begun="1")


def test_a_run_that_is_refused_elsewhere_leaves_a_slow_owner_as_it_was() -> None:
    slow = prove(take(FREE, "a"), "a", token=1)
    taken = take(slow, "b", now=1000)
    assert prove(leases.release(taken, run_id="b"), "a", token=1, now=1001).run_id == "a"
    with pytest.raises(LeaseLost):
        prove(leases.release(prove(taken, "b", token=2, now=1000), run_id="b"), "a", token=1, now=1001)


def test_a_host_that_was_never_fenced_refuses_every_step() -> None:
    with pytest.raises(LeaseLost, match="the owner is nobody: it was released, or this host was never fenced"):
        prove(FREE, "a", token=1)


def test_a_lease_file_of_a_later_version_can_be_read() -> None:
    assert Lease.from_dict("shop", {"app": "x", "highest": 4, "colour": "red"}) == Lease("shop", highest=4)


def test_the_next_token_is_above_all_seen() -> None:
    assert leases.next_token([]) == 1
    assert leases.next_token([3, 9, 0]) == 10


def test_the_guard_keeps_the_lease_in_a_private_file(tmp_path: Path) -> None:
    first, second = Guard("shop", "a", 1, str(tmp_path)), Guard("shop", "b", 2, str(tmp_path))
    first.fence(action="deploy", who="anna@build", ttl=60, preempt=False, begun="1")
    with first.effect(extend=60):
        assert read_lease("shop", str(tmp_path)).highest == 1
    with pytest.raises(LeaseHeld):
        second.fence(action="deploy", who="ben@build", ttl=60, preempt=False, begun="2")
    before = second.fence(action="rollback", who="ben@build", ttl=60, preempt=True, begun="2")
    assert before.run_id == "a"
    with pytest.raises(LeaseLost), first.effect(extend=60):
        pytest.fail("the effect of a superseded run must not happen")
    first.release()
    assert read_lease("shop", str(tmp_path)).run_id == "b"
    second.release()
    assert read_lease("shop", str(tmp_path)).run_id == "a", "the second one changed nothing"
    first.release()
    assert read_lease("shop", str(tmp_path)).run_id is None
    assert (tmp_path / "apps" / "shop" / "lease.json").stat().st_mode & 0o777 == 0o600


RUNS = st.sampled_from(["a", "b", "c"])


class OneHost(RuleBasedStateMachine):
    """Any interleaving of runs on one host, with its clock going on."""

    @initialize()
    def begin(self) -> None:
        self.lease, self.now = FREE, 0.0
        self.owners: list[str] = []  # who took the app, in order
        self.tokens: dict[str, int] = {}

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(run=RUNS, preempt=st.booleans())
    def fence(self, run: str, preempt: bool) -> None:
        owned = self.lease.alive(self.now) and self.lease.run_id != run
        # All begin in the order of their names: only an older run that has changed nothing yet is given way to.
        older = self.lease.run_id is not None and run < self.lease.run_id and not self.lease.working
        try:
            self.lease = take(self.lease, run, self.now, preempt, begun="1")
        except LeaseHeld:
            assert owned, "only a live owner may keep a run out"
            assert not preempt and not older
            return
        assert preempt or older or not owned, "a live owner must not lose the app to a deploy"
        self.owners.append(run)
        self.tokens[run] = leases.next_token([self.lease.highest])

    @rule(run=RUNS)
    def step(self, run: str) -> None:
        try:
            self.lease = prove(self.lease, run, self.tokens.get(run, 1), self.now)
        except LeaseLost:
            return
        assert self.owners, "nobody took the app"
        assert self.owners[-1] == run, "a superseded run must never prove its right"

    @rule(run=RUNS)
    def release_lease(self, run: str) -> None:
        before = self.lease
        self.lease = leases.release(self.lease, run_id=run)
        if before.run_id == run:
            displaced = (before.displaced or {}).get("run_id")
            assert self.lease.run_id == displaced
            self.owners.append(displaced or "nobody")
        else:
            assert self.lease == before

    @invariant()
    def token_never_falls(self) -> None:
        highest: Any = getattr(self, "highest", 0)
        assert self.lease.highest >= highest
        self.highest = self.lease.highest


TestOneHost = OneHost.TestCase
