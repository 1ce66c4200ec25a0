# SPDX-License-Identifier: Apache-2.0
"""The canary verdict: how often it is wrong about log lines like real ones, and what it never does.

The rates are measured on simulated windows whose lines go through the real parser. A quick run has less traffic in a window; for
the figures of the documentation: pytest --hypothesis-profile=long tests/unit/test_canary.py
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections import Counter

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.canary import verdict as canary
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings, SettingsError
from hypothesis import settings as hypothesis_settings

from tests.support.canary_traffic import NEW, OLD, Traffic, counts

LONG = hypothesis_settings.get_current_profile_name() == "long"


def measured(runs: int, traffic: Traffic, settings: Settings, seed: str) -> tuple[Counter[str], Counter[str]]:
    """How often each decision was made, and by what it failed."""
    decisions: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for run in range(runs):
        verdict = canary.judge(counts(random.Random(f"{seed} {run}"), traffic), settings)
        decisions[verdict["decision"]] += 1
        causes.update({reason.split(":")[1].strip() for reason in verdict["reasons"] if reason.startswith("fail")})
    return decisions, causes


def independent(found: canary_log.Counts, alpha: float) -> bool:
    """Whether the textbook's two-proportion z-test, which takes requests for independent, calls the new release worse."""
    sample = {
        arm: [
            sum(cell[key] for block in found["arms"][arm].values() for cell in block.values())
            for key in ("errors", "requests")
        ]
        for arm in canary_log.ARMS
    }
    (e1, n1), (e0, n0) = sample["new"], sample["old"]
    share = (e1 + e0) / (n1 + n0)
    spread = math.sqrt(share * (1 - share) * (1 / n1 + 1 / n0))
    return spread > 0 and 0.5 * math.erfc((e1 / n1 - e0 / n0) / spread / math.sqrt(2)) < alpha


@pytest.mark.parametrize(
    ("requests", "share", "seconds"), [(2000, 0.25, 300), (1000, 0.1, 300)] if LONG else [(220, 0.25, 300)]
)
def test_a_release_like_the_old_one_is_seldom_aborted(requests: int, share: float, seconds: int) -> None:
    """In at most 5 % of windows over both tests and the guards, judged once, with hiccups, pauses and visitors in trouble.

    With less than the documented sample, where chance has more room.
    """
    windows = 1000
    settings = Settings(checks=1, min_requests=30, min_blocks=24)
    traffic = Traffic(requests=requests, share=share, seconds=seconds, visitors=3)
    decisions: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    textbook = 0
    for run in range(windows):
        found = counts(random.Random(f"same {run}"), traffic)
        verdict = canary.judge(found, settings)
        decisions[verdict["decision"]] += 1
        causes.update(reason.split(":")[1].strip() for reason in verdict["reasons"] if reason.startswith("fail"))
        textbook += independent(found, settings.error_alpha)
    told = f"{requests} requests, share {share}: {dict(decisions)}, failed by {dict(causes)}; z-test of errors alone {textbook}"
    print(told)
    assert decisions["fail"] <= 0.05 * windows, told
    # The control: these windows do deceive a test that takes requests for independent.
    assert textbook > 0.05 * windows, told


@pytest.mark.parametrize(("share", "runs"), [(0.25, 60), (0.05, 20)] if LONG else [(0.25, 6)])
def test_three_per_cent_errors_instead_of_one_are_caught_with_the_documented_sample(share: float, runs: int) -> None:
    settings = Settings()
    # A little above the minimum, since chance decides how many of the requests go to the new release.
    traffic = Traffic(requests=int(1.05 * settings.min_requests / share), share=share, new_errors=0.03, visitors=0.2)
    decisions, causes = measured(runs, traffic, settings, "three")
    told = f"{traffic.requests} requests, share {share}: {dict(decisions)}, failed by {dict(causes)}"
    print(told)
    assert causes["errors"] >= (0.95 if LONG else 0.8) * runs, told


@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_a_slower_release_is_caught(factor: float) -> None:
    """Also with a tenth of the documented sample."""
    runs = 100 if LONG else 20
    settings = Settings(min_requests=450)
    traffic = Traffic(requests=2000, share=0.25, slowdown=factor)
    decisions, causes = measured(runs, traffic, settings, "slow")
    told = f"{factor} times slower: {dict(decisions)}, failed by {dict(causes)}"
    print(told)
    assert causes["latency"] >= 0.95 * runs, told


def test_a_good_release_passes_most_windows_of_the_documented_sample() -> None:
    """The others are inconclusive: too much trouble to be sure, and the window is repeated."""
    runs = 40 if LONG else 3
    settings = Settings()
    traffic = Traffic(requests=int(1.05 * settings.min_requests / 0.25), share=0.25, visitors=0.2)
    decisions, causes = measured(runs, traffic, settings, "like")
    told = f"{traffic.requests} requests: {dict(decisions)}, failed by {dict(causes)}"
    print(told)
    assert decisions["pass"] >= 0.7 * runs, told


def test_a_good_release_passes_and_a_better_one_does() -> None:
    settings = Settings(min_requests=900)
    calm = Traffic(requests=4000, share=0.25, hiccups=0, pauses=0, visitors=0)
    better = dataclasses.replace(calm, old_errors=0.03, new_errors=0.001, slowdown=0.5)
    for number in range(3):
        for traffic in (calm, better):
            verdict = canary.judge(counts(random.Random(f"good {number}"), traffic), settings)
            assert verdict["decision"] == "pass", verdict["reasons"]


@pytest.mark.parametrize(
    ("requests", "share"), [(0, 0.5), (300, 0.0), (300, 1.0), (2000, 0.01), (2000, 0.99), (2000, 0.5)]
)
def test_too_little_traffic_in_either_arm_never_passes(requests: int, share: float) -> None:
    traffic = Traffic(requests=requests, share=share, old_errors=0, new_errors=0, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("little"), traffic), Settings())
    assert verdict["decision"] == "inconclusive"
    assert any("too few to compare" in reason for reason in verdict["reasons"])


def test_many_requests_in_a_few_seconds_are_not_enough() -> None:
    traffic = Traffic(requests=2000, share=0.5, seconds=60, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("short"), traffic), Settings(min_requests=500))
    assert verdict["decision"] == "inconclusive"
    assert verdict["samples"]["blocks"] <= 12


def test_a_window_without_any_edge_is_inconclusive() -> None:
    verdict = canary.judge(None, Settings())
    assert verdict == {
        "decision": "inconclusive",
        "reasons": ["inconclusive: edge: no edge was counted"],
        "samples": {},
    }


def test_a_silent_edge_keeps_a_good_window_from_passing_and_a_bad_one_not_from_failing() -> None:
    settings = Settings(min_requests=900)
    good = Traffic(requests=4000, share=0.25, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("silent"), good), settings, {"edge2": "cannot be reached"})
    assert verdict["decision"] == "inconclusive"
    assert verdict["reasons"][0].startswith("inconclusive: edge: edge2 was not counted: cannot be reached")
    bad = dataclasses.replace(good, new_errors=0.3)
    assert canary.judge(counts(random.Random("silent"), bad), settings, {"edge2": "no answer"})["decision"] == "fail"


def test_the_error_guard_fails_a_release_also_when_the_old_one_is_as_bad() -> None:
    traffic = Traffic(requests=1000, share=0.2, old_errors=0.3, new_errors=0.3, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("guard"), traffic), Settings())
    assert verdict["decision"] == "fail"
    assert [reason for reason in verdict["reasons"] if reason.startswith("fail: guard:") and "failed" in reason]


def test_a_release_that_fails_everything_is_stopped_before_it_has_the_sample() -> None:
    traffic = Traffic(requests=600, share=0.1, new_errors=1, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("down"), traffic), Settings())
    assert verdict["samples"]["new"]["requests"] < 100
    assert verdict["decision"] == "fail"


def test_a_few_requests_do_not_set_off_the_guard() -> None:
    traffic = Traffic(requests=200, share=0.1, new_errors=1, hiccups=0, pauses=0, visitors=0)
    assert canary.judge(counts(random.Random("few"), traffic), Settings())["decision"] == "inconclusive"


def test_the_p99_guard_fails_a_release_with_slow_requests_also_when_the_old_one_is_as_slow() -> None:
    traffic = Traffic(requests=1000, share=0.2, hiccups=0, pauses=0, visitors=0)
    found = counts(random.Random("p99"), traffic)
    assert canary.judge(found, Settings())["decision"] == "inconclusive"
    verdict = canary.judge(found, Settings(max_p99_seconds=0.03))
    assert verdict["decision"] == "fail"
    assert [reason for reason in verdict["reasons"] if reason.startswith("fail: guard: the new release's p99 is")]


def made(new: tuple[int, int, int], old: tuple[int, int, int], blocks: int = 60) -> canary_log.Counts:
    """Counts with (requests, errors, bucket of latency) of each arm in every block."""
    arms = {
        arm: {
            str(block): {"web": {"requests": requests, "errors": errors + block % 3, "latency": {str(slow): requests}}}
            for block in range(blocks)
        }
        for arm, (requests, errors, slow) in (("new", new), ("old", old))
    }
    return {"app": "shop", "releases": {"new": NEW, "old": OLD}, "block_seconds": 5.0, "arms": arms, "lines": {}}


def test_a_sure_but_harmless_difference_passes() -> None:
    """With enough requests everything is significant: 1.1 % against 1.0 %, and one bucket slower."""
    verdict = canary.judge(made((100_000, 1100, 40), (100_000, 1000, 39)), Settings())
    assert verdict["decision"] == "pass"
    assert any("+0.10 points (p = 0 " in reason for reason in verdict["reasons"])


def test_a_difference_between_harmless_and_refused_fails_when_it_is_sure() -> None:
    verdict = canary.judge(made((10_000, 200, 40), (10_000, 100, 40)), Settings())
    assert [reason.split(" of ")[0] for reason in verdict["reasons"] if reason.startswith("fail")] == [
        "fail: errors: 2.01%"
    ]


def test_verdicts_are_plain_data() -> None:
    verdict = canary.judge(counts(random.Random("plain"), Traffic()), Settings())
    assert json.loads(json.dumps(verdict)) == verdict
    assert all("\n" not in reason for reason in verdict["reasons"])


def test_counts_in_other_blocks_than_the_settings_say_are_refused() -> None:
    with pytest.raises(SettingsError, match="block_seconds is 10, and canary_window counted in blocks of 5 s"):
        canary.judge(made((1, 0, 1), (1, 0, 1)), Settings(block_seconds=10))
