# SPDX-License-Identifier: Apache-2.0
"""A flag that gets to more people step by step: its share, its steps, what a look means, and how its sides compare."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings
from ansible_collections.sluice.stack.plugins.module_utils.canary.statistics import always, estimates
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.flags import page, plan, rollout, shape, sides, switches

GRADUAL = {
    "owner": "payments",
    "expires": "2027-03-01",
    "enabled": True,
    "strategies": [{"rollout": "gradual", "stickiness": "userId"}, {"users": ["anna"]}],
}
VARIANTS = [{"name": "book", "weight": 40}, {"name": "reserve", "weight": 30}, {"name": "buy", "weight": 30}]


def resolved(flag: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = {"app_name": "shop", "app_services": {"web": {"image": "registry.test/web", "port": 80}}}
    return contracts.resolve({**given, "app_flags": {"payment": flag}, **more}, needs_version=False)


def definition(**more: Any) -> dict[str, Any]:
    return dict(resolved({**GRADUAL, **more})["flags"]["payment"])


def in_unleash(flag: dict[str, Any], share: int) -> dict[str, Any]:
    """The flag as Unleash has it once it has got so far."""
    seen = shape.wanted({"payment": flag})["payment"]
    for index, one in enumerate(seen["strategies"]):
        one["id"] = f"id-{index}"
    seen["strategies"][0]["parameters"]["rollout"] = str(share)
    return seen


def test_a_gradual_share_begins_with_nobody_and_is_no_drift_afterwards() -> None:
    flag = definition()
    first = shape.wanted({"payment": flag})
    assert [one["parameters"]["rollout"] for one in first["payment"]["strategies"]] == ["0", "100"]
    seen = {"payment": in_unleash(flag, 50)}
    wanted = shape.wanted({"payment": flag}, (), seen)
    assert plan.steps(wanted, seen) == [] and plan.drift(wanted, seen) == []
    # The control: everything else of it still is.
    seen["payment"]["strategies"][0]["parameters"]["stickiness"] = "random"
    assert plan.drift(shape.wanted({"payment": flag}, (), seen), seen)


def test_only_the_share_moves_and_only_of_what_is_gradual() -> None:
    flag = definition()
    seen = in_unleash(flag, 10)
    assert rollout.share("payment", flag, seen) == 10
    (step,) = rollout.move("payment", flag, seen, 50)
    assert (step["do"], step["id"], step["strategy"]["parameters"]["rollout"]) == ("set_strategy", "id-0", "50")
    assert step["strategy"]["parameters"]["stickiness"] == "userId" and "id" not in step["strategy"]
    assert rollout.move("payment", flag, seen, 10) == []


@pytest.mark.parametrize(
    ("flag", "change", "message"),
    [
        ({"strategies": [{"rollout": 10}]}, {}, "no strategy with rollout: gradual"),
        ({"enabled": False}, {}, "is not enabled in this environment"),
        ({}, None, "is not in Unleash yet: run playbooks/flags/flags.yml"),
        ({}, {"enabled": False}, "is another one in Unleash than in app_flags"),
    ],
)
def test_a_flag_that_cannot_be_rolled_out_is_refused(flag: Any, change: Any, message: str) -> None:
    given = definition(**flag)
    seen = None if change is None else {**in_unleash(given, 10), **change}
    with pytest.raises(rollout.RolloutError, match=message):
        rollout.share("payment", given, seen)


@pytest.mark.parametrize(
    ("now", "upto", "left"),
    [
        (0, 100, [10, 50, 100]),
        # What it has is looked at again: nobody knows whether the run before did so to the end.
        (10, 100, [10, 50, 100]),
        (20, 50, [50]),
        (10, 30, [10, 30]),
        (100, 100, [100]),
        (50, 10, [10]),
        (50, 0, [0]),
    ],
)
def test_a_rollout_goes_on_where_it_is(now: int, upto: int, left: list[int]) -> None:
    assert rollout.steps([10, 50, 100], now, upto) == left


@pytest.mark.parametrize(
    ("decisions", "two_sides", "last", "meant"),
    [
        (["pass"], True, False, "on"),
        (["inconclusive"], True, False, "again"),
        (["inconclusive"], True, True, "stop"),
        (["fail"], True, False, "revert"),
        (["pass", "fail"], True, False, "revert"),
        (["pass", "inconclusive"], True, True, "stop"),
        (["inconclusive"], False, False, "on"),
        (["fail"], False, True, "revert"),
    ],
)
def test_what_a_look_means(decisions: list[str], two_sides: bool, last: bool, meant: str) -> None:
    assert rollout.decide([{"decision": one} for one in decisions], two_sides=two_sides, last=last) == meant


def test_the_sides_are_on_and_off_or_each_variant_and_the_first() -> None:
    assert rollout.pairs(definition()) == [{"new": "on", "old": "off"}]
    assert [(one["new"], one["old"]) for one in rollout.pairs(definition(variants=VARIANTS))] == [
        ("reserve", "book"),
        ("buy", "book"),
    ]
    assert rollout.comparable(definition(), 50) and not rollout.comparable(definition(), 100)
    assert rollout.comparable(definition(variants=VARIANTS), 100)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"app_rollout": {"steps": [50, 10]}}, "app_rollout.steps must rise from step to step"),
        ({"app_rollout": {"analysis": {"checkz": 1}}}, "app_rollout.analysis is wrong"),
        (
            {"app_flags": {"payment": {**GRADUAL, "strategies": [{"rollout": "slow"}]}}},
            "must be 0 to 100, or 'gradual'",
        ),
    ],
)
def test_what_is_wrong_is_said(more: dict[str, Any], message: str) -> None:
    with pytest.raises(contracts.ContractError, match=message):
        resolved(GRADUAL, **more)


def test_what_a_rollout_did_is_in_the_history_once_and_switches_nothing(tmp_path: Path) -> None:
    root = str(tmp_path)
    base = {"flag": "payment", "run_id": "r", "who": "anna"}
    kill = {**base, "action": "kill", "time": "2026-11-28T12:00:01Z", "reason": "worse"}
    step = {**base, "action": "rollout", "time": "2026-11-28T12:00:02Z", "reason": "to 50 %"}
    switches.switch("shop", [kill], root)
    for _ in range(2):
        assert switches.switch("shop", [step], root) == []
    assert [one["action"] for one in switches.read("shop", root)] == ["kill", "rollout"]
    assert switches.killed(switches.latest([switches.read("shop", root)])) == ["payment"]


# -- what was counted


def line(second: float, flags: str, status: int = 200, method: str = "GET", uri: str = "/") -> str:
    """A line of the edge's log."""
    return json.dumps(
        {
            "app": "shop",
            "service": "web",
            "release": "one",
            "status": status,
            "epoch": second,
            "seconds": 0.01,
            "flags": flags,
            "method": method,
            "uri": uri,
        }
    )


def counted(lines: list[str], flag: str = "payment", values: tuple[str, str] = ("on", "off")) -> canary_log.Counts:
    window = canary_log.Window("shop", dict(zip(("new", "old"), values, strict=True)), 0.0, 10_000.0, 5.0, flag)
    return canary_log.count(lines, window)


def test_requests_count_by_what_the_app_said_of_the_flag() -> None:
    found = counted(
        [
            line(1, "payment=on"),
            line(1, "button=off, payment=off", 500),
            line(2, "payment-flow=on, my-payment=on"),
            line(3, ""),
            line(4, "payment=else"),
        ]
    )
    assert found["lines"]["counted"] == 2
    assert found["arms"]["new"]["0"]["web"]["requests"] == 1
    assert (found["arms"]["old"]["0"]["web"]["requests"], found["arms"]["old"]["0"]["web"]["errors"]) == (1, 1)


def traffic(rng: random.Random, seconds: int, bad: float) -> list[str]:
    """Ten requests a second, half of them to each side; 2 % of the old side's fail."""
    lines = []
    for second in range(1, seconds):
        for number in range(10):
            on = number % 2 == 0
            status = 500 if rng.random() < (bad if on else 0.02) else 200
            lines.append(line(second + number / 10, f"payment={'on' if on else 'off'}", status))
    return lines


def test_a_result_compares_how_often_people_do_what_they_are_meant_to() -> None:
    """With half as much again on one side, and the same on both."""
    for share, said in ((0.3, "more"), (0.2, "not known yet")):
        rng, lines = random.Random(5), []
        for second in range(1, 1200):
            for number in range(6):
                on = number % 2 == 0
                booked = rng.random() < (share if on else 0.2)
                asked = ("POST", "/api/bookings?day=*") if booked else ("GET", "/api/flags")
                lines.append(line(second + number / 10, f"payment={'on' if on else 'off'}", 200, *asked))
        # Neither a failed one nor another one counts.
        lines.append(line(5, "payment=on", 409, "POST", "/api/bookings"))
        window = canary_log.Window("shop", {"new": "on", "old": "off"}, 0.0, 9e9, 5.0, "payment", "POST /api/book*")
        counts = canary_log.count(lines, window)
        goals = sum(cell["goals"] for block in counts["arms"]["new"].values() for cell in block.values())
        assert goals == sum("bookings" in one and "=on" in one and '"status": 200' in one for one in lines)
        both = sides.measured(canary_log.add([counts, counts]), 1, Settings())
        (found,) = [one for one in both if one["name"] == "goal"]
        assert found["said"] == said, found
        assert ("more reach it" in sides.say(found)) == (said == "more")


@pytest.mark.parametrize(("bad", "said"), [(0.02, "not known yet"), (0.2, "more"), (0.0, "less")])
def test_a_result_says_which_side_fails_more_only_when_it_is_known(bad: float, said: str) -> None:
    counts = counted(traffic(random.Random(7), 1200, bad))
    (errors, slower) = sides.measured(counts, 1, Settings())
    assert (errors["name"], errors["said"]) == ("errors", said), errors
    assert slower["said"] == "not known yet"
    # Too early to say, whatever it looks like.
    early = counted(traffic(random.Random(7), 100, bad))
    assert [one["said"] for one in sides.measured(early, 1, Settings())] == ["not known yet"] * 2


def test_one_may_look_at_a_result_as_often_as_one_likes() -> None:
    """Of runs without a difference, looked at again and again, few are ever called different. The usual interval is deceived."""
    rng, runs, alpha = random.Random(11), 60, 0.05
    fooled = {"always": 0, "usual": 0}
    for _ in range(runs):
        rows, seen = [], {"always": False, "usual": False}
        for block in range(480):
            share = 0.4 if rng.random() < 0.01 else 0.05
            errors = [sum(rng.random() < share for _ in range(5)) for _ in range(2)]
            rows.append(((errors[0] - errors[1]) * 2.5, 2.5))
            if block >= 48 and block % 12 == 0:
                found = estimates(rows)
                between = always(found, alpha)
                assert between
                seen["always"] |= not between[0] <= 0 <= between[1]
                seen["usual"] |= 2 * min(found[0].above(0), found[0].below(0)) < alpha
        for name in fooled:
            fooled[name] += seen[name]
    assert fooled["always"] <= 0.05 * runs, fooled
    assert fooled["usual"] > 0.15 * runs, fooled


def test_the_page_shows_both_sides_and_escapes_what_it_is_given() -> None:
    counts = counted(traffic(random.Random(3), 600, 0.2))
    pair = {
        "new": "on",
        "old": "off",
        "decision": "fail",
        "reasons": ["fail: <script>"],
        "samples": {arm: {"requests": 5, "errors": 1, "median": 0.1, "p99": None} for arm in ("new", "old")},
        "measures": sides.measured(counts, 1, Settings()),
        "series": sides.series(counts),
    }
    made = {
        "app": "shop",
        "action": "rollout",
        "flag": "payment",
        "headline": "worse at 50 %",
        "ok": False,
        "time": "2026-11-28T12:00:00Z",
        "who": "anna",
        "looks": [{"percent": 50, "check": 1, "pairs": [pair]}],
    }
    html = page.html(made)
    assert "<svg" in html and "&lt;script&gt;" in html and "<script" not in html
    assert "fails more" in html and len(pair["series"]) <= sides.POINTS
    total = sum(one[arm][0] for one in pair["series"] for arm in ("new", "old"))
    assert total == counts["lines"]["counted"]
