# SPDX-License-Identifier: Apache-2.0
"""An effect and a run that takes the app meanwhile: what the step says then, and that nothing happens after a fence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import guard as guard_module
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, LeaseHeld, LeaseLost, host_now

GONE = RuntimeError("no such container")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def run(tmp_path: Path) -> Guard:
    """A deploy that has the app."""
    guard = Guard("shop", "a" * 12, 1, str(tmp_path))
    guard.fence(action="deploy", who="ann@desk", begun="2026-11-23T10:00:00Z", ttl=60, preempt=False)
    return guard


def test_a_failure_is_the_runs_own_while_it_has_the_app(run: Guard) -> None:
    assert run.cause(GONE) == "no such container"


def test_a_failure_after_the_app_was_taken_is_that(run: Guard, tmp_path: Path) -> None:
    other = Guard("shop", "b" * 12, 2, str(tmp_path))
    other.fence(action="rollback", who="bob@desk", begun="2026-11-23T10:00:09Z", ttl=60, preempt=True)
    said = run.cause(GONE)
    assert (
        "run aaaaaaaaaaaa does not hold the lease of app shop on this host; its holder is rollback by bob@desk" in said
    )


# A long effect, and another run that fences meanwhile.


def lose(guard: Guard) -> list[str]:
    """What becomes of an effect that looks now and then whether it still has the app."""
    notes: list[str] = []
    try:
        with guard.effect():
            notes.append("begun")
            while True:
                guard.check()
                time.sleep(0.005)
    except LeaseLost:
        notes.append("put back")  # still under the lock
    return notes


def test_a_fence_ends_an_effect_that_looks_and_waits_for_it(run: Guard, tmp_path: Path) -> None:
    ended: list[list[str]] = []
    thread = threading.Thread(target=lambda: ended.append(lose(run)))
    thread.start()
    until(lambda: run._read().working)
    other = Guard("shop", "b" * 12, 2, str(tmp_path))
    before = other.fence(action="rollback", who="bob@desk", begun="2", ttl=60, preempt=True)
    assert before.run_id == run.run_id
    thread.join(10)
    assert ended == [["begun", "put back"]]


def test_nothing_of_an_earlier_run_happens_after_a_fence(run: Guard, tmp_path: Path) -> None:
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with run.effect():
            inside.set()
            go_on.wait(10)
            order.append("effect")

    def fence() -> None:
        Guard("shop", "b" * 12, 2, str(tmp_path)).fence(action="deploy", who="b", begun="2", ttl=60, preempt=True)
        order.append("fenced")

    threads = [threading.Thread(target=work), threading.Thread(target=fence)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    until(lambda: run._read().run_id == "b" * 12)
    assert order == [], "the lease is taken, and the effect under way is waited for"
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert order == ["effect", "fenced"]


def test_an_effect_that_does_not_end_is_named_and_the_app_left_to_its_run(
    run: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "EFFECT_SECONDS", 0.05)
    with run.effect():
        with pytest.raises(LeaseHeld, match=r"a step of deploy \(run aaaaaaaaaaaa\) is still running on this host"):
            Guard("shop", "b" * 12, 2, str(tmp_path)).fence(action="rollback", who="", begun="2", ttl=60, preempt=True)
        run.check()


def test_a_lease_is_renewed_and_ended_while_an_effect_is_under_way(run: Guard) -> None:
    with run.effect():
        before = run._read().expires
        run.renew(600)
        assert run._read().expires > before
        run.expire()
        assert not run._read().alive(host_now())
        run.check()


def test_the_hosts_clock_is_that_of_its_boot() -> None:
    one, two = host_now(), host_now()
    assert len(one.boot) == 36 and one.boot == two.boot
    assert one.clock <= two.clock
    assert one.clock != one.wall
