# SPDX-License-Identifier: Apache-2.0
"""The watch after a flip: a release that fails its visitors is seen, and one that is as before is not."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.canary import log, watch
from ansible_collections.sluice.stack.plugins.module_utils.edge.watch import WatchError, observe

SINCE = 1_800_000_000.0
LIMITS = watch.Limits(seconds=10, max_errors=0.05, min_requests=20)
RELEASES = {"new": "r2", "old": "r1"}
Load = Sequence[tuple[str, str, float, float]]  # release, service, requests a second, share of errors


def line(release: str, service: str, status: int, ended: float) -> str:
    return json.dumps(
        {"app": "shop", "release": release, "service": service, "status": status, "epoch": ended, "seconds": 0.01}
    )


def lines(chance: random.Random, since: float, seconds: float, load: Load) -> list[str]:
    """Requests at random moments, a constant load on average."""
    found = []
    for release, service, rate, errors in load:
        for _ in range(round(rate * seconds)):
            status = 500 if chance.random() < errors else 200
            found.append(line(release, service, status, since + 0.02 + chance.random() * (seconds - 0.02)))
    return found


def fault(before: Load, after: Load, seconds: float = 5, seed: int = 1, limits: watch.Limits = LIMITS) -> str:
    """What is said of ``seconds`` after a flip."""
    chance = random.Random(seed)
    given = lines(chance, SINCE, 10, before) + lines(chance, SINCE + 10, seconds, after)
    window = log.Window("shop", RELEASES, SINCE, SINCE + 10 + seconds + 1, watch.BLOCK_SECONDS)
    return watch.fault(log.count(given, window), limits)


def test_a_release_that_fails_half_is_seen_within_seconds() -> None:
    said = fault([("r1", "backend", 100, 0)], [("r2", "backend", 100, 0.5)], seconds=3)
    assert "% of 300 requests failed, 0.0% did before, and 5.0% are allowed" in said


def test_one_that_fails_everything_is_seen_at_once() -> None:
    assert fault([("r1", "backend", 100, 0)], [("r2", "backend", 100, 1)], seconds=1)


def test_a_service_among_many_is_seen() -> None:
    said = fault(
        [("r1", "backend", 10, 0), ("r1", "frontend", 400, 0)],
        [("r2", "backend", 10, 0.7), ("r2", "frontend", 400, 0)],
        seconds=10,
    )
    assert "of 100 requests of backend failed" in said


def test_what_failed_before_is_no_fault() -> None:
    assert not fault([("r1", "backend", 100, 0.3)], [("r2", "backend", 100, 0.3)], seconds=10)


def test_a_repair_may_still_fail_some() -> None:
    """The live release fails half: the one that fails a tenth is what one wants."""
    assert not fault([("r1", "backend", 100, 0.5)], [("r2", "backend", 100, 0.1)], seconds=10)


def test_too_few_requests_prove_nothing() -> None:
    assert not fault([("r1", "backend", 10, 0)], [("r2", "backend", 3, 1)], seconds=5)


@pytest.mark.parametrize("rate", [5, 50])
def test_a_good_release_is_seldom_taken_back(rate: float) -> None:
    """A release as good as the one before, with 2 % errors and judged at each of ten looks."""
    taken = sum(
        any(
            fault([("r1", "backend", rate, 0.02)], [("r2", "backend", rate, 0.02)], seconds, seed)
            for seconds in range(1, 11)
        )
        for seed in range(60)
    )
    assert taken <= 1


def observed(tmp_path: Path, before: Load, after: Load, limits: watch.Limits) -> int:
    """Observe a log that is there already."""
    path, now, chance = tmp_path / "access.log", time.time(), random.Random(1)
    given = lines(chance, now - limits.seconds + 0.1, limits.seconds - 1.1, before) + lines(chance, now - 1, 1, after)
    path.write_text("".join(f"{one}\n" for one in given))
    return observe("shop", "r2", "r1", limits, lambda: None, str(path))


QUICK = watch.Limits(seconds=2, max_errors=0.05, min_requests=20)


def test_the_edge_reads_its_log(tmp_path: Path) -> None:
    assert observed(tmp_path, [("r1", "backend", 50, 0)], [("r2", "backend", 100, 0)], QUICK) == 100
    with pytest.raises(WatchError, match=r"100\.0% of 100 requests failed, 0\.0% did before"):
        observed(tmp_path, [("r1", "backend", 50, 0)], [("r2", "backend", 100, 1)], QUICK)


def test_an_edge_without_visitors_does_not_wait(tmp_path: Path) -> None:
    long = watch.Limits(seconds=600, max_errors=0.05, min_requests=20)
    assert observed(tmp_path, [("r1", "backend", 0.01, 0)], [], long) == 0


def test_a_log_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(WatchError, match="cannot be read"):
        observe("shop", "r2", "r1", QUICK, lambda: None, str(tmp_path / "none.log"))


def test_a_run_that_lost_the_lease_stops(tmp_path: Path) -> None:
    class Lost(Exception):
        pass

    def check() -> None:
        raise Lost

    path: Any = tmp_path / "access.log"
    path.write_text("".join(f"{line('r1', 'b', 200, time.time() - 0.5)}\n" for _ in range(30)))
    with pytest.raises(Lost):
        observe("shop", "r2", "r1", QUICK, check, str(path))
