# SPDX-License-Identifier: Apache-2.0
"""When the data went back, what the ledgers say of its migrations is not so any more: the next deploy looks, and a rollback goes by what is left."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

CONTRACT = "20261101_drop_phone"


def goes_back(fleet: Any, **to: str) -> None:
    """What playbooks/backup/restore.yml writes."""
    highest = max(item["highest"] for item in fleet.observed.values()) + 1
    run = {"action": "restore", "id": f"run{highest}", "who": "anna@build"}
    line = ledger.entry(
        "restored", token=highest, time=fleet.now.isoformat(), run=run, manifest=None, to={"summary": "before", **to}
    )
    for item in fleet.observed.values():
        item["highest"] = highest
        item["ledger"] += ledger.to_line(line)


def release(fleet: Any, version: str, *contracts: str) -> dict[str, Any]:
    """Have a version live with whose migrations these contract halves are in the database; its plan."""
    fleet.version(version)
    plan: dict[str, Any] = fleet.plan()
    # Only a run that migrates asks the database.
    plan |= {"contracts": list(contracts)} if plan["migrate"] else {}
    fleet.execute(plan)
    return plan


@pytest.fixture
def three(fleet: Any) -> tuple[dict[str, Any], ...]:
    """v1 and v2, then v3 with a contract half; their plans."""
    fleet.variables["app_migration"] = {"engine": "prisma", "service": "backend"}
    return release(fleet, "v1"), release(fleet, "v2"), release(fleet, "v3", CONTRACT)


def test_the_version_that_is_live_is_migrated_once_more_and_recorded(fleet: Any, three: Any) -> None:
    assert fleet.plan()["status"] == "nothing", "the control"
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    plan = fleet.plan()
    assert plan["status"] == "repair"
    assert plan["steps"] == ["pending", "migrate", "confirm", "retire", "unlock"]
    assert plan["manifest"]["id"] == three[2]["manifest"]["id"]
    assert plan["restore_point"] is None and plan["on_failure"] is None
    assert "  data       restored to before at " in "\n".join(plan["lines"])
    assert not any(line.startswith("  record ") for line in plan["lines"])
    fleet.execute({**plan, "contracts": [CONTRACT]})
    assert fleet.plan()["status"] == "nothing"


def test_a_run_that_failed_may_not_have_applied_what_the_data_lack(fleet: Any, three: Any) -> None:
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    fleet.version("v4")
    fleet.execute({**fleet.plan(), "contracts": [CONTRACT]}, steps=("start",))
    fleet.version("v3")
    assert fleet.plan()["migrate"], "what is live may lack what it expects, still"


def test_a_point_at_which_the_data_lacked_something_lacks_it_again(fleet: Any, three: Any) -> None:
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    fleet.version("v4")
    failed = fleet.plan()
    fleet.execute({**failed, "contracts": [CONTRACT]}, steps=("start",))
    goes_back(fleet, point=failed["manifest"]["id"])
    assert _summary(fleet)["restored"]["left_by"] is None
    fleet.version("v3")
    assert fleet.plan()["migrate"]


def test_what_serves_was_let_through_by_the_gate_before(fleet: Any, three: Any) -> None:
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    assert three[2]["migrate"]["gate"] == "refuse"
    assert fleet.plan()["migrate"]["gate"] == "warn"
    fleet.version("v4")
    assert fleet.plan()["migrate"]["gate"] == "refuse"


def test_another_version_with_the_same_image_migrates_too(fleet: Any, three: Any) -> None:
    fleet.variables["app_env"] = {"LOG_LEVEL": "debug"}
    assert fleet.plan()["migrate"] is None, "the control"
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    assert fleet.plan()["migrate"]


def test_an_app_without_migrations_has_nothing_to_look_for(fleet: Any) -> None:
    fleet.variables["app_migration"] = None
    release(fleet, "v1")
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    assert fleet.plan()["status"] == "nothing"
    found = _summary(fleet)
    assert found["restored"] is None


def test_a_rollback_past_what_is_not_in_the_data_any_more_is_none(fleet: Any, three: Any) -> None:
    with pytest.raises(PlanError, match=CONTRACT):
        fleet.plan("rollback")
    goes_back(fleet, point=three[2]["manifest"]["id"])
    assert fleet.plan("rollback")["manifest"]["id"] == three[1]["manifest"]["id"]


def test_a_release_from_before_the_data_went_back_is_asked_for(fleet: Any, three: Any) -> None:
    assert fleet.plan("rollback", release_to="v1", allow_destructive=True)["schema_check"] is None, "the control"
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    assert fleet.plan("rollback", release_to="v1", allow_destructive=True)["schema_check"] == {"host": "app1"}
    fleet.variables["app_migration"] = None
    release(fleet, "v4")
    release(fleet, "v5")
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    assert fleet.plan("rollback")["schema_check"] is None, "v4 has no migration"


def test_data_as_the_live_release_left_them_lack_nothing(fleet: Any, three: Any) -> None:
    goes_back(fleet, point=three[2]["manifest"]["id"])
    assert _summary(fleet)["restored"]["left_by"] == three[1]["manifest"]["id"]
    assert fleet.plan()["migrate"], "the control: what is live is not what left them"
    fleet.run("rollback")
    assert _summary(fleet)["restored"] is None
    fleet.version("v2")
    assert fleet.plan()["status"] == "nothing"


def test_the_data_from_before_a_release_that_failed_are_as_the_live_one_left_them(fleet: Any, three: Any) -> None:
    fleet.version("v4")
    failed = fleet.plan()
    fleet.execute(failed, steps=("start",))
    goes_back(fleet, point=failed["manifest"]["id"])
    assert _summary(fleet)["restored"] is None
    fleet.version("v3")
    assert fleet.plan()["migrate"] is None


def test_what_a_later_release_brings_again_is_in_the_way_again(fleet: Any, three: Any) -> None:
    goes_back(fleet, point=three[2]["manifest"]["id"])
    fleet.run("rollback")
    # The same images: nobody asks the database.
    fleet.variables["app_env"] = {"LOG_LEVEL": "debug"}
    release(fleet, "v2")
    release(fleet, "v3.1", CONTRACT)
    with pytest.raises(PlanError, match=CONTRACT):
        fleet.plan("rollback")


def test_a_time_before_the_run_that_brought_it_is_without_it_and_one_after_is_with_it() -> None:
    run = {"action": "deploy", "id": "run", "who": "anna@build"}

    def contracted(to: dict[str, str]) -> list[str]:
        entries = [
            ledger.entry("started", token=1, time="2026-11-01T10:00:00Z", run=run, manifest={"id": "r1"}, contracts=["a"]),
            ledger.entry("started", token=2, time="2026-11-02T10:00:00Z", run=run, manifest={"id": "r2"}, contracts=["a", "b"]),
            ledger.entry("confirmed", token=2, time="2026-11-02T10:05:00Z", run=run, manifest={"id": "r2"}, contracts=["a", "b"]),
            ledger.entry("restored", token=3, time="2026-11-03T10:00:00Z", run=run, manifest=None, to={**to, "summary": ""}),
        ]  # fmt: skip
        return ledger.merge([entries]).contracted

    assert contracted({"moment": "2026-11-01T09:00:00Z"}) == []
    assert contracted({"moment": "2026-11-02T09:59:59Z"}) == ["a"]
    assert contracted({"moment": "2026-11-02T10:00:00Z"}) == ["a", "b"]
    assert contracted({"moment": "2026-11-03T09:59:59Z"}) == ["a", "b"]
    assert contracted({"point": "r2", "moment": ""}) == ["a"]
    assert contracted({"point": "of another app", "moment": ""}) == ["a", "b"]


def _summary(fleet: Any) -> status.Summary:
    for item in fleet.observed.values():
        item["lease"] = item["lease"] or {"run_id": None, "action": "", "who": ""}
    return status.summarise("shop", fleet.edges, fleet.apps, fleet.observed, {})


def test_the_status_and_the_history_tell(fleet: Any, three: Any) -> None:
    assert not any("DATA" in line for line in status.lines(_summary(fleet)))
    goes_back(fleet, moment="2026-01-01T00:00:00Z")
    reported = [line for line in status.lines(_summary(fleet)) if "DATA" in line]
    assert reported == [
        f"  DATA       restored to before at {fleet.now.isoformat()}: deploy v3 again to apply migrations it may lack"
    ]
    copies = [item["ledger"] for item in fleet.observed.values()]
    first = status.history_lines("shop", ledger.merge_texts(copies), 1)[1]
    assert "restore   restored   the data, to before  by anna@build" in first


def test_the_data_of_a_release_that_was_gone_back_to_are_from_before_it_and_not_from_what_was_undone(
    fleet: Any, three: Any
) -> None:
    release(fleet, "v4", CONTRACT)
    fleet.run("rollback")
    found = _summary(fleet)
    assert found["live"]["release"] == three[2]["manifest"]["id"]
    assert found["previous"] == three[1]["manifest"]["id"]
