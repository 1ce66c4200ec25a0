# SPDX-License-Identifier: Apache-2.0
"""The last words of a run: one line, and what is served now."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier, report

RUN = {"action": "deploy"}
LIVE = {"release": "r1", "slot": "blue"}


def failed(step: str, answer: dict[str, Any], reached: tuple[str, ...] = ("fence",)) -> barrier.Verdict:
    verdict = barrier.start(0.0)
    for number, name in enumerate(reached, 1):
        verdict = barrier.judge(name, {"app1": {"ended": float(number)}}, verdict)
    return barrier.judge(step, {"app2": answer}, verdict)


def test_a_failure_says_step_host_reason_and_what_is_served() -> None:
    verdict = failed("start", {"failed": True, "msg": "container shop-1 exited with code 1; last log lines:\n    boom"})
    assert report.failure(RUN, {"live": LIVE, "status": "change"}, verdict).split("\n") == [
        "deploy failed in step start: app2: container shop-1 exited with code 1. Release r1 is still live.",
        "  app2:",
        "    boom",
    ]


def test_a_silent_host_comes_with_the_way_out() -> None:
    verdict = failed("fence", {"unreachable": True, "msg": "timed out"}, reached=())
    assert report.failure(RUN, {"live": None, "status": "refused"}, verdict) == (
        "deploy failed in step fence: app2: cannot be reached (timed out). Nothing was changed. "
        "Bring the host back, remove it from the inventory, or exclude it with -e release_exclude_hosts=name."
    )


@pytest.mark.parametrize(
    ("step", "live", "summary"),
    [
        ("start", None, "Nothing is live yet"),
        ("flip", LIVE, "Release r1 is still live"),
        ("confirm", LIVE, "run the same command again, it rolls forward"),
    ],
)
def test_what_is_served_depends_on_how_far_it_came(step: str, live: dict[str, str] | None, summary: str) -> None:
    verdict = failed(step, {"failed": True, "msg": "boom"})
    assert summary in report.failure(RUN, {"live": live, "status": "change"}, verdict)


@pytest.mark.parametrize("step", ["flip", "confirm"])
def test_a_run_that_lost_the_app_does_not_say_what_is_live(step: str) -> None:
    verdict = failed(
        step, {"failed": True, "msg": "run a does not hold the lease of app shop on this host; its holder is none"}
    )
    message = report.failure(RUN, {"live": LIVE, "status": "change"}, verdict)
    assert "playbooks/app/history.yml" in message
    assert "serving" not in message


def test_a_refused_plan_changed_nothing() -> None:
    verdict = {**barrier.start(0.0), "ok": False, "message": "app2 has 0.5 GiB free"}
    assert report.failure(RUN, {"live": None, "status": "refused"}, verdict) == (
        "deploy failed: app2 has 0.5 GiB free. Nothing was changed."
    )


def test_a_success_says_what_is_live_and_where_the_time_went() -> None:
    plan = {"app": "shop", "status": "change", "slot": "green", "manifest": {"id": "r2", "version": "v1.1.0"}}
    verdict = {**barrier.start(0.0), "times": [["begin", 0.0], ["fence", 1.0], ["start", 6.5]]}
    assert report.success(RUN, plan, verdict, check_mode=False) == [
        "shop v1.1.0 is live (release r2, slot green), 6.5 s"
    ]
    assert report.times(RUN, verdict) == ["deploy took 6.5 s: fence 1.0, start 5.5"]
    assert report.success(RUN, plan, verdict, check_mode=True) == ["Check mode: nothing was changed"]
    assert report.success(RUN, {**plan, "status": "nothing"}, verdict, check_mode=True) == [
        "shop v1.1.0 already runs as release r2: nothing was changed"
    ]


@pytest.mark.parametrize(
    ("step", "data", "last"),
    [
        (
            "start",
            {"names": ["1_a"]},
            "To revert its migration 1_a: ansible-playbook rollback.yml -e release_data=down -e rollback_confirm=r2",
        ),
        ("start", {"names": ["1_a"], "reverted": {"ok": True}}, "Its migration 1_a was reverted"),
        (
            "start",
            {"names": ["1_a", "2_b"], "reverted": {"ok": True}, "stays": ["1_a"]},
            "Its migration 2_b was reverted\nMigration 1_a stays: the live release expects it",
        ),
        ("start", {"names": []}, None),
        ("pending", {"names": ["1_a"]}, None),
        ("confirm", {"names": ["1_a"]}, None),
    ],
)
def test_a_deploy_that_failed_after_its_migration_ends_with_what_becomes_of_that(
    step: str, data: dict[str, Any], last: str | None
) -> None:
    plan = {"live": LIVE, "status": "change", "manifest": {"id": "r2"}, "on_failure": {"data": "down"}}
    verdict = failed(step, {"failed": True, "msg": "boom"})
    said = report.failure(RUN, plan, verdict, data).split("\n")
    assert said[1:] == (last.split("\n") if last else [])
    assert len(report.failure(RUN, {**plan, "on_failure": None}, verdict, data).split("\n")) == 1


def test_an_undo_that_failed_says_why_and_who_goes_on() -> None:
    plan = {"live": LIVE, "status": "change", "manifest": {"id": "r2"}, "on_failure": {"data": "down"}}
    data = {"names": ["1_a", "2_b"], "reverted": {"ok": False, "message": "app2: no result"}}
    said = report.failure(RUN, plan, failed("flip", {"failed": True, "msg": "boom"}), data).split("\n")
    assert said[1] == "Reverting its migration 1_a, 2_b failed: app2: no result"
    assert said[2].startswith("To revert its migration 1_a, 2_b: ansible-playbook rollback.yml -e release_data=down")


def test_data_that_were_taken_back_are_said_to_be_so_or_how_a_person_does_it() -> None:
    plan = {"live": LIVE, "status": "change", "manifest": {"id": "r2"}, "on_failure": {"data": "restore"}}
    verdict = failed("start", {"failed": True, "msg": "boom"})
    data = {"names": ["1_a"], "reverted": {"ok": True}}
    back = "The data was restored to the point before its migration 1_a; the rows lost are counted above"
    assert report.failure(RUN, plan, verdict, data).split("\n")[1:] == [back]
    plan["on_failure"] = {"data": "restore", "automatic": True}
    assert report.failure(RUN, plan, verdict, {"names": ["1_a"]}).split("\n")[1] == (
        "Restoring the data to the point before its migration 1_a was not started: not every host has recorded the failure and released the lease"
    )
    data["reverted"] = {"ok": False, "message": "edge1: rollback.yml ended with exit code 2; its output is above"}
    assert report.failure(RUN, plan, verdict, data).split("\n")[1:] == [
        "Restoring the data to the point before its migration 1_a failed: edge1: rollback.yml ended with exit code 2; its output is above",
        "To restore the data to the point before it: ansible-playbook rollback.yml -e release_data=restore -e rollback_confirm=r2",
    ]


@pytest.mark.parametrize("step", ["retire", "revert"])
def test_a_rollback_whose_migrations_are_left_says_so(step: str) -> None:
    plan = {"live": LIVE, "status": "change", "revert": {"names": ["1_a"]}}
    verdict = barrier.judge(step, {"app2": {"failed": True, "msg": "boom"}}, barrier.start(0.0), noted=())
    said = report.failure({"action": "rollback"}, plan, verdict)
    assert "The release is live, but migration 1_a is not reverted yet: run the same command again" in said
