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
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import canary, canary_log
from hypothesis import settings as hypothesis_settings

LONG = hypothesis_settings.get_current_profile_name() == "long"
TEMPLATE = Path(__file__).resolve().parents[2] / "roles" / "nginx" / "templates" / "nginx.conf.j2"
SINCE = 1795409400.0
OLD, NEW = "20261122T231500Z-v1.0.0", "20261123T081200Z-v1.1.0"
FIXED = {
    "time_iso8601": "2026-11-23T08:15:00+00:00",
    "request_id": "5b1f0f0e8f7e4b0c9d6a3c2b1a098765",
    "remote_addr": "192.0.2.7",
    "request_method": "GET",
    "host": "shop.example.com",
    "request_uri": "/api/bookings?day=2026-11-24",
    "body_bytes_sent": "1834",
    "sluice_app": "shop",
    "sluice_slot": "green",
    "upstream_addr": "10.0.0.21:20001",
}
VARYING = (
    "msec",
    "status",
    "request_time",
    "sluice_service",
    "sluice_release",
    "upstream_status",
    "upstream_response_time",
)


def log_line() -> str:
    """Nginx's own ``log_format`` with the values that vary left open, in the order of VARYING."""
    parts = re.search(r"log_format sluice escape=json\s+(.*?);", TEMPLATE.read_text(), re.DOTALL)
    assert parts
    text = "".join(re.findall(r"'(.*?)'", parts[1]))
    line = re.sub(r"\$(\w+)", lambda match: FIXED.get(match[1]) or "\0" + match[1] + "\0", text)
    assert tuple(re.findall("\0(.*?)\0", line)) == VARYING, "the log's format changed"
    return re.sub("\0.*?\0", "%s", line.replace("%", "%%"))


LINE = log_line()


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What the visitors and the app do in a window."""

    requests: int = 700
    share: float = 0.2
    seconds: int = 300
    old_errors: float = 0.01
    new_errors: float = 0.01
    slowdown: float = 1.0
    # How often there is trouble: see lines().
    hiccups: float = 1.5
    pauses: float = 1.0
    visitors: float = 1.0


def events(rng: random.Random, expected: float) -> int:
    """A number of things that happen by chance."""
    number, gap = 0, rng.expovariate(1)
    while gap < expected:
        number, gap = number + 1, gap + rng.expovariate(1)
    return number


def spans(rng: random.Random, traffic: Traffic, expected: float, longest: float) -> list[tuple[float, float]]:
    """Times of trouble: about ``expected`` of them, up to ``longest`` seconds each."""
    number = events(rng, expected)
    begins = [rng.uniform(-longest, traffic.seconds) for _ in range(number)]
    return [(begin, begin + rng.uniform(1, longest)) for begin in begins]


def lines(rng: random.Random, traffic: Traffic) -> Iterator[str]:
    """A window's log lines.

    In trouble, a hiccup of the database hits both releases for some seconds (``hiccups`` in a window), a pause hits one by chance
    (``pauses`` for each), and some visitors, who stay with their release, ask 5 to 30 times within a minute for something that
    fails or takes long (``visitors`` in 1,000 requests).
    """
    # (begin, end, share that fails, factor of time)
    shared = [
        (*span, rng.choice((0, 0, 0.3, 1)), rng.uniform(2, 20)) for span in spans(rng, traffic, traffic.hiccups, 10)
    ]
    trouble = {
        release: shared + [(*span, 0.1, 10.0) for span in spans(rng, traffic, traffic.pauses, 5)]
        for release in (OLD, NEW)
    }
    errors = {OLD: traffic.old_errors, NEW: traffic.new_errors}
    for _ in range(traffic.requests):
        release = NEW if rng.random() < traffic.share else OLD
        begin = rng.random() * traffic.seconds
        failing, factor = errors[release], traffic.slowdown if release is NEW else 1.0
        for since, until, share, slower in trouble[release]:
            if since <= begin < until:
                failing, factor = max(failing, share), factor * slower
        yield request(rng, begin, release, rng.random() < failing, factor)
    for _ in range(events(rng, traffic.visitors * traffic.requests / 1000)):
        release = NEW if rng.random() < traffic.share else OLD
        arrives, stays, fails = rng.random() * traffic.seconds, rng.uniform(1, 60), rng.random() < 0.5
        for _ in range(rng.randint(5, 30)):
            yield request(rng, arrives + rng.random() * stays, release, fails, 1.0 if fails else 20.0)


def request(rng: random.Random, begin: float, release: str, fails: bool, factor: float) -> str:
    """One line: a third of the requests go to the frontend, which is fast."""
    if rng.random() < 1 / 3:
        service, median, spread = "frontend", 0.002, 0.5
    else:
        service, median, spread = "backend", 0.04, 0.8
    took = min(60.0, median * factor * math.exp(spread * rng.gauss(0, 1)))
    status = 502 if fails else 200
    return LINE % (
        f"{SINCE + begin + took:.3f}",
        status,
        f"{took + 0.002:.3f}",
        service,
        release,
        status,
        f"{took:.3f}",
    )


def counts(rng: random.Random, traffic: Traffic) -> canary_log.Counts:
    """The counts of a simulated window."""
    window = canary_log.Window(
        "shop", {"new": NEW, "old": OLD}, SINCE, SINCE + traffic.seconds, canary.Settings().block_seconds
    )
    return canary_log.count(lines(rng, traffic), window)


def measured(runs: int, traffic: Traffic, settings: canary.Settings, seed: str) -> tuple[Counter[str], Counter[str]]:
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
    settings = canary.Settings(looks=1, min_requests=30, min_blocks=24)
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
    settings = canary.Settings()
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
    settings = canary.Settings(min_requests=450)
    traffic = Traffic(requests=2000, share=0.25, slowdown=factor)
    decisions, causes = measured(runs, traffic, settings, "slow")
    told = f"{factor} times slower: {dict(decisions)}, failed by {dict(causes)}"
    print(told)
    assert causes["latency"] >= 0.95 * runs, told


def test_a_good_release_passes_most_windows_of_the_documented_sample() -> None:
    """The others are inconclusive: too much trouble to be sure, and the window is repeated."""
    runs = 40 if LONG else 3
    settings = canary.Settings()
    traffic = Traffic(requests=int(1.05 * settings.min_requests / 0.25), share=0.25, visitors=0.2)
    decisions, causes = measured(runs, traffic, settings, "like")
    told = f"{traffic.requests} requests: {dict(decisions)}, failed by {dict(causes)}"
    print(told)
    assert decisions["pass"] >= 0.7 * runs, told


def test_a_good_release_passes_and_a_better_one_does() -> None:
    settings = canary.Settings(min_requests=900)
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
    verdict = canary.judge(counts(random.Random("little"), traffic), canary.Settings())
    assert verdict["decision"] == "inconclusive"
    assert any("too few to compare" in reason for reason in verdict["reasons"])


def test_many_requests_in_a_few_seconds_are_not_enough() -> None:
    traffic = Traffic(requests=2000, share=0.5, seconds=60, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("short"), traffic), canary.Settings(min_requests=500))
    assert verdict["decision"] == "inconclusive"
    assert verdict["samples"]["blocks"] <= 12


def test_a_window_without_any_edge_is_inconclusive() -> None:
    verdict = canary.judge(None, canary.Settings())
    assert verdict == {
        "decision": "inconclusive",
        "reasons": ["inconclusive: edge: none was counted"],
        "samples": {},
    }


def test_a_silent_edge_keeps_a_good_window_from_passing_and_a_bad_one_not_from_failing() -> None:
    settings = canary.Settings(min_requests=900)
    good = Traffic(requests=4000, share=0.25, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("silent"), good), settings, {"edge2": "cannot be reached"})
    assert verdict["decision"] == "inconclusive"
    assert verdict["reasons"][0].startswith("inconclusive: edge: edge2 was not counted: cannot be reached")
    bad = dataclasses.replace(good, new_errors=0.3)
    assert canary.judge(counts(random.Random("silent"), bad), settings, {"edge2": "no answer"})["decision"] == "fail"


def test_the_error_guard_fails_a_release_also_when_the_old_one_is_as_bad() -> None:
    traffic = Traffic(requests=1000, share=0.2, old_errors=0.3, new_errors=0.3, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("guard"), traffic), canary.Settings())
    assert verdict["decision"] == "fail"
    assert [reason for reason in verdict["reasons"] if reason.startswith("fail: guard:") and "failed" in reason]


def test_a_release_that_fails_everything_is_stopped_before_it_has_the_sample() -> None:
    traffic = Traffic(requests=600, share=0.1, new_errors=1, hiccups=0, pauses=0, visitors=0)
    verdict = canary.judge(counts(random.Random("down"), traffic), canary.Settings())
    assert verdict["samples"]["new"]["requests"] < 100
    assert verdict["decision"] == "fail"


def test_a_few_requests_do_not_set_off_the_guard() -> None:
    traffic = Traffic(requests=200, share=0.1, new_errors=1, hiccups=0, pauses=0, visitors=0)
    assert canary.judge(counts(random.Random("few"), traffic), canary.Settings())["decision"] == "inconclusive"


def test_the_p99_guard_fails_a_release_with_slow_requests_also_when_the_old_one_is_as_slow() -> None:
    traffic = Traffic(requests=1000, share=0.2, hiccups=0, pauses=0, visitors=0)
    found = counts(random.Random("p99"), traffic)
    assert canary.judge(found, canary.Settings())["decision"] == "inconclusive"
    verdict = canary.judge(found, canary.Settings(max_p99_seconds=0.03))
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
    verdict = canary.judge(made((100_000, 1100, 40), (100_000, 1000, 39)), canary.Settings())
    assert verdict["decision"] == "pass"
    assert any("+0.10 points (p = 0 " in reason for reason in verdict["reasons"])


def test_a_difference_between_harmless_and_refused_fails_when_it_is_sure() -> None:
    verdict = canary.judge(made((10_000, 200, 40), (10_000, 100, 40)), canary.Settings())
    assert [reason.split(" of ")[0] for reason in verdict["reasons"] if reason.startswith("fail")] == [
        "fail: errors: 2.01%"
    ]


def test_verdicts_are_plain_data() -> None:
    verdict = canary.judge(counts(random.Random("plain"), Traffic()), canary.Settings())
    assert json.loads(json.dumps(verdict)) == verdict
    assert all("\n" not in reason for reason in verdict["reasons"])


@pytest.mark.parametrize(
    ("t", "freedom", "tail"),
    [
        (6.3138, 1, 0.05),
        (4.3027, 2, 0.025),
        (2.3534, 3, 0.05),
        (2.8214, 9, 0.01),
        (2.7500, 30, 0.005),
        (3.3962, 29, 0.001),
    ],
)
def test_students_t_is_that_of_the_tables(t: float, freedom: int, tail: float) -> None:
    assert canary.t_tail(t, freedom) == pytest.approx(tail, rel=1e-3)
    assert canary.t_tail(-t, freedom) == pytest.approx(1 - tail, rel=1e-3)


def test_the_rank_test_counts_pairs() -> None:
    rng = random.Random("pairs")
    for shift in (0, 2):
        new, old = ([rng.randint(0, 9) for _ in range(size)] for size in (20, 30))
        cells = [
            canary.Cell.of({"requests": len(one), "errors": 0, "latency": {str(k): n for k, n in Counter(one).items()}})
            for one in (new, old)
        ]
        pairs = [(a > b + shift) + (a == b + shift) / 2 for a in new for b in old]
        ((value, weight),) = canary.latency_rows([[(cells[0], cells[1])]], shift)
        assert value / weight == pytest.approx(sum(pairs) / len(pairs) - 0.5)


def test_a_mean_of_blocks_has_the_error_of_their_spread() -> None:
    """With equal weights it is the textbook's mean and its standard error."""
    found = canary.mean([(1.0, 1.0), (2.0, 1.0), (6.0, 1.0), (0.0, 0.0)])
    assert found is not None
    assert (found.value, found.freedom) == (3.0, 2)
    assert found.error == pytest.approx(math.sqrt(7 / 3))
    assert canary.mean([(1.0, 5.0)]) is None


def test_trouble_that_lasts_longer_than_a_block_makes_it_less_sure() -> None:
    """The same values, mixed and in one piece: neighbours that are alike are not as many as they seem."""
    mixed = [(0.03 if block % 2 else -0.02, 1.0) for block in range(60)]
    pieces = sorted(mixed)
    assert [one.value for one in canary.estimates(pieces)] == pytest.approx([0.005] * 3)
    assert max(one.error for one in canary.estimates(pieces)) > 1.9 * canary.estimates(pieces)[0].error
    assert max(one.error for one in canary.estimates(mixed)) == canary.estimates(mixed)[0].error


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"min_request": 10}, "canary setting min_request is not known: did you mean 'min_requests'?"),
        ({"looks": "often"}, "canary setting looks is 'often': it has to be a whole number"),
        ({"looks": 0}, "canary setting looks is 0: it has to be above 0"),
        ({"error_alpha": 5}, "canary setting error_alpha is 5: it is a share, 0 to 1"),
        ({"slowdown_matters": 0.2}, "canary setting slowdown_matters is 0.2: it is a factor, at least 1"),
        ({"slowdown_matters": 2}, "canary setting slowdown_matters is 2: it has to be below slowdown_refused, 1.5"),
    ],
)
def test_a_wrong_setting_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(canary.SettingsError, match=f"^{re.escape(message)}$"):
        canary.Settings.from_data(data)


def test_settings_come_as_text_from_templates() -> None:
    assert canary.Settings.from_data({"looks": "6", "max_p99_seconds": "2.5"}) == canary.Settings(
        looks=6, max_p99_seconds=2.5
    )


def test_counts_in_other_blocks_than_the_settings_say_are_refused() -> None:
    with pytest.raises(canary.SettingsError, match="block_seconds is 10, and canary_window counted in blocks of 5 s"):
        canary.judge(made((1, 0, 1), (1, 0, 1)), canary.Settings(block_seconds=10))


def test_the_modules_tell_the_defaults() -> None:
    modules = Path(canary.__file__).parents[1] / "modules"
    told = dict(re.findall(r"C\((\w+)\)\s+\(([\d.]+)\)", (modules / "canary_verdict.py").read_text()))
    assert {name: float(value) for name, value in told.items()} == dataclasses.asdict(canary.Settings())
    default = re.search(
        r'"block_seconds": \{"type": "float", "default": (\d+)\}', (modules / "canary_window.py").read_text()
    )
    assert default and float(default[1]) == canary.Settings().block_seconds
