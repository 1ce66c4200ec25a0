# SPDX-License-Identifier: Apache-2.0
"""What a run knows after its steps."""

from __future__ import annotations

from typing import Any

from ansible_collections.sluice.stack.plugins.filter.verdict import verdict
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier

ASKED = {"start": ["app1", "app2"], "canary": ["edge1"], "flip": ["edge1"]}
BEFORE = barrier.start(0.0)


def hostvars(**steps: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What ``start`` and others registered on each host: ``start={"app1": {...}}``."""
    return {
        host: {f"__release_{step}": answers[host] for step, answers in steps.items() if host in answers}
        for host in ("edge1", "app1", "app2")
    }


GOOD = {"app1": {"ended": 2.0}, "app2": {"ended": 3.0}}


def test_every_step_that_was_asked_counts_and_silence_is_a_no() -> None:
    after = verdict(BEFORE, hostvars(start=GOOD), ASKED)
    assert (after["ok"], after["step"], after["message"]) == (False, "canary", "edge1: no result")


def test_the_step_that_is_carried_out_is_no_part_of_its_own_condition() -> None:
    after = verdict(BEFORE, hostvars(start=GOOD), ASKED, until="canary")
    assert after["ok"]
    assert after["times"] == [["begin", 0.0], ["start", 3.0]]


def test_a_step_that_failed_is_what_the_run_failed_with_whatever_came_after() -> None:
    answers = hostvars(start={**GOOD, "app2": {"failed": True, "msg": "boom"}}, flip={"edge1": {"skipped": True}})
    after = verdict(BEFORE, answers, ASKED)
    assert (after["ok"], after["step"], after["message"]) == (False, "start", "app2: boom")


def test_a_step_that_judged_itself_is_believed() -> None:
    concluded = {**BEFORE, "ok": False, "step": "canary", "message": "errors 3.1 % against 1.0 %"}
    after = verdict(BEFORE, hostvars(start=GOOD, canary={"edge1": {"verdict": concluded}}), ASKED)
    assert after == concluded


def test_a_host_outside_the_play_is_named_though_another_one_has_its_answer() -> None:
    answers = hostvars(point={"app1": {"unreachable": True, "msg": "timed out"}})
    after = verdict(BEFORE, answers, {"point": ["db1"]}, through={"db1": "app1"})
    assert (after["step"], after["message"]) == ("point", "db1: cannot be reached (timed out)")
    assert verdict(BEFORE, hostvars(point={"app1": {"ended": 1.0}}), {"point": ["db1"]}, through={"db1": "app1"})["ok"]


def test_hosts_that_may_be_silent_are_noted() -> None:
    answers = hostvars(fence={"app1": {"ended": 1.0}, "app2": {"unreachable": True, "msg": "timed out"}})
    after = verdict(BEFORE, answers, {"fence": ["app1", "app2"]}, unreachable_allowed=["app2"])
    assert (after["ok"], after["unreachable"]) == (True, ["app2"])


def test_a_step_that_was_found_needless_is_not_asked_for() -> None:
    judged = {"verdict": barrier.start(0.0), "needless": ["flip"]}
    answers = hostvars(start=GOOD, canary={"edge1": judged}, flip={"edge1": {"skipped": True}})
    assert verdict(BEFORE, answers, ASKED)["ok"]
    without = hostvars(start=GOOD, canary={"edge1": {**judged, "needless": []}}, flip={"edge1": {"skipped": True}})
    assert verdict(BEFORE, without, ASKED)["message"] == "edge1: was skipped"


def test_what_is_left_running_is_noted_unless_migrations_are_undone_after_it() -> None:
    answers = hostvars(retire={"app1": {"failed": True, "msg": "boom"}}, revert={"app1": {}})
    noted = verdict(BEFORE, answers, {"retire": ["app1"]})
    assert noted["ok"] and noted["notes"] == ["retire: app1: boom"]
    after = verdict(BEFORE, answers, {"retire": ["app1"], "revert": ["app1"]}, until="revert")
    assert (after["ok"], after["step"]) == (False, "retire")
