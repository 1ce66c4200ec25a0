# SPDX-License-Identifier: Apache-2.0
"""At most one run may change an app on a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, read_lease
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import Lease, LeaseHeld, LeaseLost, Now
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

FREE = Lease("shop")


def at(clock: float, wall: float | None = None, boot: str = "one") -> Now:
    """A moment by a host's clocks; its wall clock is right unless said."""
    return Now(boot, clock, clock if wall is None else wall)


def take(
    lease: Lease, run: str, now: float = 0, preempt: bool = False, ttl: float = 60, begun: str | None = None
) -> Lease:
    who = "anna@build"
    began = begun or f"{now:012.3f}"
    return leases.fence(lease, run_id=run, action="deploy", who=who, begun=began, ttl=ttl, preempt=preempt, now=at(now))


def prove(lease: Lease, run: str, token: int, now: float = 0) -> Lease:
    return leases.prove(lease, run_id=run, token=token, now=at(now))


def renew(lease: Lease, run: str, now: float = 0, ttl: float = 60) -> Lease:
    return leases.renew(lease, run_id=run, ttl=ttl, now=at(now))


def test_a_live_owner_is_respected_and_named() -> None:
    with pytest.raises(LeaseHeld) as caught:
        take(take(FREE, "a"), "b", now=10)
    assert str(caught.value) == (
        "app shop is locked: deploy by anna@build (run a), started 10 s ago, lease ends in 50 s. "
        "Wait for it (-e release_wait_seconds=300), or pre-empt it with rollback.yml"
    )


def test_a_dead_lease_is_taken_over() -> None:
    assert take(take(FREE, "a"), "b", now=60).run_id == "b"


def test_a_rollback_takes_the_app_from_a_live_owner_who_then_may_do_nothing() -> None:
    lease = take(take(FREE, "a"), "b", now=10, preempt=True)
    with pytest.raises(
        LeaseLost, match="run a does not hold the lease of app shop on this host; its holder is deploy by anna@build"
    ):
        prove(lease, "a", token=1, now=11)
    assert prove(lease, "b", token=2, now=11).highest == 2


def test_a_lease_that_ran_out_but_was_taken_by_nobody_is_still_its_runs() -> None:
    lease = prove(take(FREE, "a"), "a", token=1, now=1000)
    assert lease.working
    assert renew(lease, "a", now=1000).alive(at(1059))


def test_a_step_says_nothing_about_how_long_the_app_is_taken() -> None:
    assert prove(take(FREE, "a", ttl=15), "a", token=1, now=10).expires == 15


def test_a_renewed_lease_keeps_others_out() -> None:
    lease = renew(take(FREE, "a", ttl=15), "a", now=14, ttl=15)
    with pytest.raises(LeaseHeld, match="lease ends in 1 s"):
        take(lease, "b", now=28)
    assert take(lease, "b", now=29).run_id == "b"


def test_a_run_that_lost_the_app_renews_nothing() -> None:
    taken = prove(take(take(FREE, "a"), "b", now=60), "b", token=2, now=61)
    with pytest.raises(LeaseLost):
        renew(taken, "a", now=62)


def test_a_run_that_may_get_the_app_back_waits() -> None:
    slow = prove(take(FREE, "a"), "a", token=1)
    taken = take(slow, "b", now=1000)
    assert renew(taken, "a", now=1001) == taken
    back = renew(leases.release(taken, run_id="b"), "a", now=1002)
    assert back.run_id == "a" and back.alive(at(1003))


def test_when_a_controller_has_ended_the_next_run_has_the_app_at_once() -> None:
    working = prove(take(FREE, "a"), "a", token=1)
    with pytest.raises(LeaseHeld):
        take(working, "b", now=1)
    ended = leases.expire(working, run_id="a", now=at(1))
    assert take(ended, "b", now=1).run_id == "b"


def test_a_run_that_has_ended_stays_on_record_and_what_it_left_at_work_goes_on() -> None:
    ended = leases.expire(prove(take(FREE, "a"), "a", token=1), run_id="a", now=at(1))
    assert ended.run_id == "a"
    assert prove(ended, "a", token=1, now=2).run_id == "a"
    with pytest.raises(LeaseLost):
        prove(take(ended, "b", now=2), "a", token=1, now=3)


def test_the_end_of_a_controller_does_nothing_to_anothers_lease_or_to_one_that_ran_out() -> None:
    lease = take(FREE, "a")
    assert leases.expire(lease, run_id="b", now=at(1)) == lease
    assert leases.expire(lease, run_id="a", now=at(100)) == lease


def test_a_broken_lease_is_not_renewed_and_its_run_changes_nothing_more() -> None:
    broken = leases.break_lease(prove(take(FREE, "a"), "a", token=1), run_id="a", now=at(1))
    with pytest.raises(LeaseLost):
        renew(broken, "a", now=2)
    with pytest.raises(LeaseLost, match=r"its holder is none: its lease was broken with playbooks/app/lease\.yml"):
        prove(broken, "a", token=1, now=2)
    taken = take(broken, "b", now=2)
    assert prove(taken, "b", token=2, now=2).run_id == "b"
    assert leases.break_lease(taken, run_id="a", now=at(3)) == taken


@pytest.mark.parametrize("jump", [-90.0, 90.0, 1e6])
def test_a_wall_clock_that_jumps_neither_ends_nor_prolongs_a_lease(jump: float) -> None:
    lease = take(FREE, "a", ttl=15)
    for clock, alive in ((0, True), (14, True), (15, False), (16, False)):
        assert lease.alive(at(clock, wall=clock + jump)) is alive
    renewed = leases.renew(lease, run_id="a", ttl=15, now=at(10, wall=10 + jump))
    assert renewed.expires == 25
    with pytest.raises(LeaseHeld):
        leases.fence(
            lease, run_id="b", action="deploy", who="", begun="9", ttl=15, preempt=False, now=at(14, wall=14 + jump)
        )


def test_a_lease_of_before_a_reboot_has_run_out_though_the_clock_began_anew() -> None:
    lease = take(FREE, "a", now=1000)
    assert lease.alive(at(3)), "the same boot"
    assert not lease.alive(at(3, boot="two"))
    rebooted = leases.renew(lease, run_id="a", ttl=15, now=at(3, boot="two"))
    assert rebooted.alive(at(17, boot="two")) and not rebooted.alive(at(18, boot="two"))


def test_a_lease_that_was_kept_by_the_wall_clock_has_run_out() -> None:
    """As a host has one from before an upgrade."""
    old = Lease.from_dict("shop", {"app": "shop", "run_id": "a", "expires": 4e9, "highest": 3})
    assert take(old, "b").run_id == "b"


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


def test_a_run_that_finished_what_another_left_does_not_bring_that_one_back() -> None:
    """On an edge, say, where the repair had nothing to do; the other would go on with slots that are gone."""
    repaired = take(prove(take(FREE, "a"), "a", token=1), "b", now=1000)
    assert leases.release(repaired, run_id="b").run_id == "a", "the control: it had done nothing"
    assert leases.release(repaired, run_id="b", completed=True).run_id is None


def test_a_host_that_was_never_fenced_refuses_every_step() -> None:
    with pytest.raises(LeaseLost, match="its holder is none: it was released, or this host was never fenced"):
        prove(FREE, "a", token=1)


def test_a_lease_file_of_a_later_version_can_be_read() -> None:
    assert Lease.from_dict("shop", {"app": "x", "highest": 4, "colour": "red"}) == Lease("shop", highest=4)


def test_the_next_token_is_above_all_seen() -> None:
    assert leases.next_token([]) == 1
    assert leases.next_token([3, 9, 0]) == 10


def test_the_guard_keeps_the_lease_in_a_private_file(tmp_path: Path) -> None:
    first, second = Guard("shop", "a", 1, str(tmp_path)), Guard("shop", "b", 2, str(tmp_path))
    first.fence(action="deploy", who="anna@build", ttl=60, preempt=False, begun="1")
    with first.effect():
        assert read_lease("shop", str(tmp_path)).highest == 1
    with pytest.raises(LeaseHeld):
        second.fence(action="deploy", who="ben@build", ttl=60, preempt=False, begun="2")
    before = second.fence(action="rollback", who="ben@build", ttl=60, preempt=True, begun="2")
    assert before.run_id == "a"
    with pytest.raises(LeaseLost), first.effect():
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
        owned = self.lease.alive(at(self.now)) and self.lease.run_id != run
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
