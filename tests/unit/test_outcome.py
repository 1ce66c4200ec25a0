# SPDX-License-Identifier: Apache-2.0
"""The entries a run writes into the ledgers, and what a failed one does about its migrations."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.filter.verdict import release_outcome
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier

HOSTS = ["edge1", "app1", "app2"]
STARTED = {"event": "started", "seq": 1, "token": 7, "release": "r2", "manifest": {"id": "r2"}, "time": "then"}
LISTED = {"status": {"pending": ["2_b", "3_c"], "unknown": ["0_x"]}, "contracts": ["3_c"]}


def plan(**more: Any) -> dict[str, Any]:
    """A deploy that migrates on app1, with a restore point on db1."""
    return {
        "steps": ["pending", "restore_point", "migrate", "start", "flip", "confirm", "retire"],
        "started_entry": STARTED,
        "contracted": ["0_x", "1_y"],
        "migrate": {"host": "app1"},
        "through": {"db1": "app1"},
        "flip": ["edge1"],
        "start": ["app1", "app2"],
        "revert": None,
        "on_failure": None,
        **more,
    }


def outcome(plan: dict[str, Any], verdict: dict[str, Any] | None = None, **steps: dict[str, Any]) -> dict[str, Any]:
    """``steps``: what each step registered on app1 (or on the edge, for those of the edge)."""
    hostvars: dict[str, dict[str, Any]] = {host: {} for host in HOSTS}
    for step, result in steps.items():
        hostvars["edge1" if step in ("abort",) else "app1"][f"__release_{step}"] = result
    return release_outcome(plan, hostvars, verdict or barrier.start(1.0), HOSTS)


def failed(step: str, message: str = "app1: boom\nlog line") -> dict[str, Any]:
    return {**barrier.start(1.0), "ok": False, "step": step, "message": message, "failed": {"app1": "boom"}}


def test_a_confirmed_release_records_what_it_migrated_and_where_it_can_be_restored_to() -> None:
    entries = outcome(
        plan(), listed=LISTED, restore_point={"restore_point": {"name": "r2"}}, migrate={"applied": ["2_b", "3_c"]}
    )["entries"]
    assert entries["started"] == {
        **STARTED,
        "contracts": ["3_c", "0_x"],
        "migrating": ["2_b", "3_c"],
        "restore_point": {"name": "r2"},
    }
    confirmed = entries["confirmed"]
    assert (confirmed["event"], confirmed["seq"], confirmed["migrations"]) == ("confirmed", 2, ["2_b", "3_c"])
    assert (
        confirmed["manifest"] == {"id": "r2"} and confirmed["times"] == [["begin", 1.0]] and confirmed["time"] != "then"
    )


def test_a_confirmed_release_records_when_its_newest_image_was_built() -> None:
    old = {"revision": "a", "created": "2026-11-22T23:30:00+02:00"}
    new = {"revision": "b", "created": "2026-11-22T22:00:00+00:00"}
    unknown = {"revision": "c", "created": ""}
    entries = outcome(plan(), start={"built": {"backend": old, "frontend": new, "mail": unknown}})["entries"]
    assert entries["confirmed"]["built"] == new and "built" not in entries["failed"]
    assert "built" not in outcome(plan(), start={"built": {"mail": unknown}})["entries"]["confirmed"]


def test_a_failed_release_records_its_step_and_the_first_line_and_no_manifest() -> None:
    entry = outcome(plan(), failed("start"), listed=LISTED)["entries"]["failed"]
    assert (entry["event"], entry["seq"], entry["step"], entry["message"]) == ("failed", 3, "start", "app1: boom")
    assert entry["manifest"] is None and "migrating" not in entry
    assert entry["restore_point"] is None, "it was planned and not reached"


def test_a_run_without_migrations_records_none_and_a_refused_plan_nothing() -> None:
    entries = outcome(plan(steps=["start", "flip"], migrate=None))["entries"]
    assert entries["started"] == STARTED and entries["confirmed"]["migrations"] == []
    refused = {"steps": [], "flip": [], "token": 0}
    assert outcome(refused, failed("fence"))["entries"] == {}


def test_a_rollback_records_what_was_reverted_newest_first_without_what_stayed() -> None:
    revert = {"host": "app1", "release": "r9", "names": ["2_b", "3_c", "4_d"]}
    entry = outcome(plan(revert=revert), rollback_check={"left": ["3_c"]})["entries"]["reverted"]
    assert (entry["event"], entry["seq"], entry["release"], entry["reverted"]) == ("reverted", 4, "r9", ["4_d", "2_b"])


AUTOMATIC = {"data": "down", "automatic": True, "host": "app1"}


@pytest.mark.parametrize(
    ("step", "on_failure", "automatic"),
    [
        ("start", AUTOMATIC, "down"),
        ("migrate", AUTOMATIC, "down"),
        ("flip", {**AUTOMATIC, "data": "restore"}, "restore"),
        ("start", {**AUTOMATIC, "automatic": False}, ""),
        ("start", None, ""),
        ("pending", AUTOMATIC, ""),
        ("confirm", AUTOMATIC, ""),
    ],
)
def test_what_a_failed_deploy_does_automatically(step: str, on_failure: Any, automatic: str) -> None:
    found = outcome(plan(on_failure=on_failure), failed(step), listed=LISTED)["failure"]
    assert found["automatic"] == automatic and found["names"] == ["2_b", "3_c"]


def test_nothing_is_automatic_without_pending_migrations() -> None:
    listed = {"status": {"pending": [], "unknown": []}, "contracts": []}
    assert outcome(plan(on_failure=AUTOMATIC), failed("start"), listed=listed)["failure"]["automatic"] == ""


def test_migrations_are_reverted_after_the_edges_have_aborted_and_the_release_is_stopped() -> None:
    targets = outcome(plan(on_failure=AUTOMATIC), failed("flip"), listed=LISTED)["failure"]["targets"]
    assert targets == {"abort": ["edge1"], "failure_stop": ["app1", "app2"], "failure_revert": ["app1"]}
    assert list(targets) == ["abort", "failure_stop", "failure_revert"]
    early = outcome(plan(on_failure=AUTOMATIC), failed("migrate"), listed=LISTED)["failure"]["targets"]
    assert early == {"abort": [], "failure_stop": [], "failure_revert": ["app1"]}


def test_a_restore_waits_until_every_host_has_recorded_the_failure() -> None:
    restore = {**AUTOMATIC, "data": "restore"}
    found = outcome(plan(on_failure=restore), failed("canary"), listed=LISTED)["failure"]
    assert found["restore_targets"] == {"abort": ["edge1"], "record": ["app1", "app2"]}


def test_what_a_failed_deploy_reverted_is_recorded_without_what_the_live_release_needs() -> None:
    answers = {"listed": LISTED, "failure_revert": {"left": ["2_b"], "ended": 3.0}}
    done = outcome(plan(on_failure=AUTOMATIC), failed("migrate"), **answers)
    assert done["failure"]["reverted"]["ok"] and done["failure"]["stays"] == ["2_b"]
    assert [entry["reverted"] for entry in done["reverted"]] == [["3_c"]]
    answers["failure_revert"] = {"failed": True, "msg": "no"}
    done = outcome(plan(on_failure=AUTOMATIC), failed("migrate"), **answers)
    assert not done["failure"]["reverted"]["ok"] and done["reverted"] == []
    assert "reverted" not in outcome(plan(on_failure=AUTOMATIC), failed("migrate"), listed=LISTED)["failure"]
