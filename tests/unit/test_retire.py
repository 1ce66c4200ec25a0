# SPDX-License-Identifier: Apache-2.0
"""What becomes of the old release: it looks again before it stops anything, and removes what nothing refers to."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import retire
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together, within
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard
from ansible_collections.sluice.stack.plugins.modules import release_retire


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guard:
    """A run that is done with its host, and has given it back."""
    monkeypatch.setattr(retire, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(retire, "WARM_POLL_SECONDS", 0.01)
    one = Guard("shop", "a", 3, str(tmp_path))
    take(one)
    with one.effect():
        retire.write_note(one.folder, "blue", 60)
    one.release()
    return one


def take(guard: Guard) -> None:
    guard.fence(action="deploy", who="anna@build", begun=guard.run_id, ttl=60, preempt=False)


def finish(guard: Guard, warm: float = 0, drain: float = 1, busy: Any = lambda: False) -> list[str]:
    stopped: list[str] = []
    condemned: list[str] = []
    retire.finish(
        guard,
        lambda: condemned.append("blue"),
        lambda: stopped.extend(condemned),
        busy=busy,
        warm=warm,
        drain=drain,
    )
    return stopped


def test_an_idle_slot_is_stopped_and_its_note_taken_back(guard: Guard) -> None:
    assert retire.read_note(guard.folder, time.time())
    assert finish(guard) == ["blue"]
    assert retire.read_note(guard.folder, time.time()) is None


def test_a_later_run_that_changed_the_app_keeps_the_slot(guard: Guard, tmp_path: Path) -> None:
    later = Guard("shop", "b", 4, str(tmp_path))
    take(later)
    with later.effect():
        pass
    assert finish(guard) == []
    later.release()
    assert finish(guard, warm=0.05) == [], "also after that run has ended"


def test_a_run_that_only_looks_is_waited_for(guard: Guard, tmp_path: Path) -> None:
    looking = Guard("shop", "b", 0, str(tmp_path))
    take(looking)
    busy = itertools.chain([True, False], itertools.repeat(False))
    looks = iter(range(100))

    def look() -> bool:
        if next(looks) == 4:
            looking.release()
        return next(busy)

    assert finish(guard, busy=look) == ["blue"]


def test_a_run_that_fenced_this_host_and_died_may_have_flipped_the_edges(guard: Guard, tmp_path: Path) -> None:
    Guard("shop", "b", 0, str(tmp_path)).fence(action="rollback", who="ben", begun="b", ttl=-100, preempt=True)
    retire.write_note(guard.folder, "blue", 0.05)
    assert finish(guard) == [], "its lease has run out, and the slot may be live again"


def test_a_run_that_retires_takes_back_the_note_of_the_run_before(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback makes the slot live that the deploy was to stop. A note that stayed would hide what a killed run leaves there."""
    monkeypatch.setattr(release_retire, "clean", lambda *_: None)
    later = Guard("shop", "b", 4, str(tmp_path))
    take(later)
    params = {
        "app": "shop",
        "drain_seconds": 1,
        "wait": True,
        "release_lease": True,
        "keep_releases": 5,
    }
    engine: Any = None
    release_retire.apply(params, later, [], engine)
    assert retire.read_note(guard.folder, time.time()) is None


def test_connections_are_waited_for_until_the_window_ends(guard: Guard) -> None:
    begin = time.monotonic()
    retire.wait_idle(lambda: True, 0.05)
    assert time.monotonic() - begin >= 0.05
    answers = [False, True, False, False]
    retire.wait_idle(lambda: answers.pop(0), 60)
    assert answers == [], "two quiet looks in a row"


def test_a_note_that_is_overdue_is_none(guard: Guard) -> None:
    assert retire.read_note(guard.folder, time.time() + 61) is None


def test_work_in_the_background_outlives_its_parent_and_is_not_its_child(tmp_path: Path) -> None:
    mark = tmp_path / "mark.json"

    def work() -> None:
        mark.with_suffix(".part").write_text(json.dumps({"session": os.getsid(0), "pid": os.getpid()}))
        mark.with_suffix(".part").rename(mark)

    retire.in_background("test", work)
    deadline = time.monotonic() + 10
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    found = json.loads(mark.read_text())
    assert found["session"] != os.getsid(0)
    assert found["pid"] != os.getpid()


def entry(event: str, release: str, *images: str) -> dict[str, Any]:
    services = {str(number): {"image": image} for number, image in enumerate(images)}
    return {"event": event, "release": release, "manifest": {"services": services}}


LEDGER = [entry(event, f"r{n}", f"web@{n}", "base@1") for n in range(1, 7) for event in ("started", "confirmed")]
PRESENT = [*(f"web@{n}" for n in range(1, 8)), "base@1", "stranger@1"]


def test_images_of_old_releases_go_and_nobody_elses() -> None:
    assert retire.unneeded_images({"shop": LEDGER}, "shop", 3, PRESENT, []) == ["web@1", "web@2", "web@3"]


def test_what_a_container_or_another_app_uses_stays() -> None:
    other = [entry("started", "x1", "web@2")]
    assert retire.unneeded_images({"shop": LEDGER, "blog": other}, "shop", 3, PRESENT, ["web@3"]) == ["web@1"]


def test_a_rollback_makes_its_release_new_again_and_a_release_under_way_keeps_its_images() -> None:
    ledger = [*LEDGER, entry("confirmed", "r2", "web@2"), entry("started", "r7", "web@7")]
    assert retire.unneeded_images({"shop": ledger}, "shop", 2, PRESENT, []) == ["web@1"]


def test_together_keeps_the_order_and_raises_the_first_error_after_all_ended() -> None:
    ended: list[int] = []

    def work(number: int) -> int:
        time.sleep(0.01 * (3 - number))
        ended.append(number)
        if number:
            raise ValueError(number)
        return number

    assert together(lambda number: number * 2, [3, 1, 2]) == [6, 2, 4]
    assert together(work, []) == []
    with pytest.raises(ValueError, match="1"):
        together(work, [0, 1, 2])
    assert sorted(ended) == [0, 1, 2]


def test_what_hangs_is_left_behind() -> None:
    ended = threading.Event()
    assert within(60, lambda: 7) == 7
    with pytest.raises(ValueError, match="broken"):
        within(60, lambda: int("broken"))
    with pytest.raises(TimeoutError, match=r"^timed out after 0\.01 s$"):
        within(0.01, ended.wait)
    ended.set()
