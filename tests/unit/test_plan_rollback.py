# SPDX-License-Identifier: Apache-2.0
"""What a rollback will do, from what the hosts have."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError


def test_a_deploy_that_died_after_the_edges_confirmed_it_can_be_rolled_back_at_once(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    fleet.execute(fleet.plan(), steps=("start", "flip"))
    assert fleet.plan("rollback")["manifest"]["id"] == first["manifest"]["id"]


def test_a_rollback_that_died_after_an_edge_confirmed_it_is_finished_and_not_repeated(fleet: Any) -> None:
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        fleet.version(version)
        fleet.run()
    crashed = fleet.plan("rollback")
    fleet.execute(crashed, steps=("start", "flip"))
    plan = fleet.plan("rollback")
    assert plan["manifest"]["version"] == "v1.1.0"
    assert plan["status"] == "repair"
    fleet.execute(plan)
    assert fleet.plan("rollback")["manifest"]["version"] == "v1.0.0"


def test_a_rollback_without_any_app_host_is_refused(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    fleet.run()
    with pytest.raises(PlanError, match="no app host is left"):
        fleet.plan("rollback", unreachable=frozenset({"app1", "app2"}))


def test_rollback_goes_to_the_release_before_without_asking_a_registry(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    second = fleet.run()
    for host in fleet.apps:
        fleet.observed[host]["images"] = {}
    plan = fleet.plan("rollback")
    assert plan["manifest"] == {**first["manifest"]}
    assert plan["slot"] == "blue"
    assert plan["migrate"] is None
    assert plan["retire"] == {"release": second["manifest"]["id"], "slot": "green"}
    assert plan["lines"][0].startswith("Roll back to shop v1.0.0")


def test_rollback_needs_the_images_and_not_the_variables_of_today(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    fleet.variables["app_services"].pop("frontend")
    fleet.variables["app_routes"].pop()
    fleet.run()
    assert set(fleet.plan("rollback")["manifest"]["services"]) == set(first["manifest"]["services"])


def test_a_second_rollback_has_nothing_to_go_back_to(fleet: Any) -> None:
    first = fleet.run()
    fleet.version("v1.1.0")
    fleet.run()
    fleet.run("rollback")
    with pytest.raises(PlanError) as caught:
        fleet.plan("rollback")
    assert str(caught.value) == (
        f"release {first['manifest']['id']} is live, and every earlier confirmed release was itself rolled back; "
        "name one with -e release_to=... (history: status.yml), or deploy a version with deploy.yml"
    )


def test_a_rollback_goes_on_without_a_silent_app_host_and_no_edge_sends_it_anything(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    fleet.run()
    plan = fleet.plan("rollback", unreachable=frozenset({"app2"}))
    assert plan["start"] == ["app1"]
    assert plan["excluded"] == ["app2"]
    assert plan["configure"] == ["edge1"], "nobody knows what the silent host holds, or is about to stop"
    assert "10.0.0.22" not in plan["edge_config"]


def test_a_rollback_to_a_release_that_still_runs_is_a_flip_alone(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    fleet.execute(fleet.plan(), steps=("start", "flip", "record"))
    plan = fleet.plan("rollback")
    assert plan["start"] == []
    assert plan["steps"] == ["flip", "confirm", "retire"]


@pytest.mark.parametrize(("key", "value"), [("healthy", False), ("healthy", None), ("state", "exited")])
def test_a_release_that_still_runs_and_is_not_well_is_started_again(fleet: Any, key: str, value: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    fleet.execute(fleet.plan(), steps=("start", "flip", "record"))
    for item in fleet.observed["app2"]["containers"]:
        item[key] = value
    assert fleet.plan("rollback")["start"] == ["app2"]


def test_rolling_back_before_any_deploy_is_refused(fleet: Any) -> None:
    with pytest.raises(PlanError, match="no release is live, nothing to roll back"):
        fleet.plan("rollback")
