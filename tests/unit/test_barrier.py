# SPDX-License-Identifier: Apache-2.0
"""A step is done when every host it needs has said so."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from hypothesis import given
from hypothesis import strategies as st

GOOD: dict[str, Any] = {"changed": True, "ended": 1.0}
BAD: list[dict[str, Any] | None] = [
    None,
    {"failed": True, "msg": "boom"},
    {"unreachable": True, "msg": "Task failed: timed out"},
    {"skipped": True},
]
SAID = ["no result", "boom", "cannot be reached (timed out)", "was skipped"]


def judge(answers: dict[str, Any], **more: Any) -> barrier.Verdict:
    return barrier.judge("start", answers, barrier.start(0.0), **more)


def test_all_hosts_good_goes_on() -> None:
    verdict = judge({"app1": GOOD, "app2": GOOD})
    assert verdict["ok"]
    assert verdict["times"] == [["begin", 0.0], ["start", 1.0]]


@pytest.mark.parametrize(("answer", "reason"), list(zip(BAD, SAID, strict=True)))
def test_anything_but_a_positive_answer_is_a_no(answer: dict[str, Any] | None, reason: str) -> None:
    verdict = judge({"app1": GOOD, "app2": answer})
    assert not verdict["ok"]
    assert verdict["message"] == f"app2: {reason}"
    assert verdict["failed"] == {"app2": reason}
    assert verdict["step"] == "start"


@given(answers=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.sampled_from([GOOD, *BAD])))
def test_one_bad_or_silent_host_out_of_any_number_stops_all(answers: dict[str, Any]) -> None:
    assert judge(answers)["ok"] == all(answer is GOOD for answer in answers.values())


def test_an_unreachable_host_that_may_be_silent_is_noted() -> None:
    verdict = judge({"app1": GOOD, "app2": {"unreachable": True, "msg": "x"}}, unreachable_allowed=["app2"])
    assert verdict["ok"]
    assert verdict["unreachable"] == ["app2"]


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "boom"}, {"skipped": True}])
def test_a_host_that_may_be_silent_and_answers_must_answer_well(answer: dict[str, Any]) -> None:
    assert not judge({"app1": GOOD, "app2": answer}, unreachable_allowed=["app2"])["ok"]


def test_a_host_that_may_not_be_silent_stops_all() -> None:
    assert not judge({"app1": {"unreachable": True}, "app2": GOOD}, unreachable_allowed=["app2"])["ok"]


def test_a_step_whose_failure_does_no_harm_is_noted_and_goes_on() -> None:
    verdict = barrier.judge("retire", {"app1": {"failed": True, "msg": "disk full"}}, barrier.start(0.0))
    assert verdict["ok"]
    assert verdict["notes"] == ["retire: app1: disk full"]


def test_what_a_host_has_to_say_is_noted() -> None:
    verdict = judge({"app1": {"changed": True, "notes": ["lock was down for 1.8 s"]}, "app2": GOOD})
    assert verdict["ok"]
    assert verdict["notes"] == ["start: app1: lock was down for 1.8 s"]


def test_the_first_line_names_every_host_and_their_details_follow() -> None:
    log = "container a exited with code 1; last log lines:\n    boom"
    verdict = judge({"app1": {"failed": True, "msg": log}, "app2": {"failed": True, "msg": "disk full"}})
    assert verdict["message"].split("\n") == [
        "app1: container a exited with code 1; app2: disk full",
        "  app1:",
        "    boom",
    ]


def test_a_no_is_passed_on_as_it_is() -> None:
    stopped = judge({"app1": None})
    assert barrier.judge("flip", {"edge1": GOOD}, stopped) == stopped
