# SPDX-License-Identifier: Apache-2.0
"""A web service that runs on some app hosts only: the plan, the edge and the status know where."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError


@pytest.fixture
def placed(fleet: Any) -> Any:
    """The backend belongs on app1 alone."""
    fleet.variables["app_services"]["backend"]["hosts"] = ["app1"]
    return fleet


def servers(config: str, service: str, slot: str) -> list[str]:
    found = re.search(rf"^upstream sluice_shop_{service}_{slot} \{{\n(.*?)^\}}", config, re.M | re.S)
    return re.findall(r"server ([\d.]+):", found[1]) if found else []


def test_it_starts_there_and_is_asked_there(placed: Any) -> None:
    plan = placed.run()
    assert plan["services"] == {"app1": ["backend", "frontend"], "app2": ["frontend"]}
    assert servers(plan["edge_config"], "backend", "blue") == ["10.0.0.21"]
    assert servers(plan["edge_config"], "frontend", "blue") == ["10.0.0.21", "10.0.0.22"]
    assert [line for line in plan["lines"] if "app2:" in line] == [
        "  start      app2: pull 1 image (of unknown size; 50.0 GiB free), frontend on port 20588 in blue"
    ]
    assert placed.plan()["status"] == "nothing"


def test_what_is_where_it_does_not_belong_is_drift(placed: Any) -> None:
    placed.run()
    stray = {**placed.observed["app1"]["containers"][0], "service": "backend"}
    placed.observed["app2"]["containers"].append(stray)
    plan = placed.plan()
    assert plan["start"] == ["app2"]
    assert any("does not belong on this host" in line for line in plan["lines"])


def test_a_service_that_moves_is_a_release_with_a_reload_and_no_gap(placed: Any) -> None:
    placed.run()
    placed.variables["app_services"]["backend"]["hosts"] = ["app2"]
    plan = placed.run()
    assert plan["status"] == "change" and plan["configure"] == ["edge1"]
    assert servers(plan["edge_config"], "backend", "blue") == ["10.0.0.21"], "as before, until the flip"
    assert servers(plan["edge_config"], "backend", "green") == ["10.0.0.22"]
    assert placed.plan()["status"] == "nothing"
    back = placed.run("rollback")
    assert back["services"]["app1"] == ["backend", "frontend"]


def test_a_host_with_none_of_the_web_services_is_whole(placed: Any) -> None:
    placed.variables["app_services"]["frontend"]["hosts"] = ["app1"]
    plan = placed.run()
    assert plan["start"] == ["app1"]
    assert placed.plan()["status"] == "nothing"


def test_the_image_of_a_worker_is_pulled_where_nothing_else_starts(placed: Any) -> None:
    placed.variables["app_services"]["frontend"]["hosts"] = ["app1"]
    placed.variables["app_services"]["mailer"] = {"image": "registry.test:5000/shop/mailer", "hosts": ["app2"]}
    assert placed.plan()["start"] == ["app1", "app2"]


def test_a_drain_that_would_leave_a_service_nowhere_is_refused(placed: Any) -> None:
    placed.run()
    assert placed.plan("drain", host="app2")["steps"] == ["configure", "drain", "unlock"]
    with pytest.raises(PlanError) as caught:
        placed.plan("drain", host="app1")
    assert str(caught.value) == (
        "service backend has no host to run on: app1 is drained or excluded; bring it back, or name "
        "another host in app_services.backend.hosts and deploy"
    )


def test_so_is_a_run_without_its_only_host(placed: Any) -> None:
    placed.run()
    placed.version("v1.1.0")
    with pytest.raises(PlanError, match="service backend has no host to run on"):
        placed.plan(excluded=frozenset({"app1"}))


def test_a_host_nobody_knows_is_an_error_where_it_was_just_written(placed: Any) -> None:
    placed.variables["app_services"]["backend"]["hosts"] = ["app1", "app3"]
    with pytest.raises(PlanError, match=r"app_services\.backend\.hosts names app3, which is not an app host"):
        placed.plan()


def test_a_release_of_before_may_name_a_host_that_is_gone(placed: Any) -> None:
    placed.variables["app_services"]["backend"]["hosts"] = ["app1", "app2"]
    placed.run()
    placed.version("v1.1.0")
    placed.variables["app_services"]["backend"]["hosts"] = ["app1"]
    placed.run()
    placed.apps.remove("app2")
    del placed.observed["app2"]
    back = placed.plan("rollback")
    assert back["services"] == {"app1": ["backend", "frontend"]}


def test_the_status_knows_where_it_belongs(placed: Any) -> None:
    placed.run()
    for item in placed.observed.values():
        item["lease"] = {"run_id": None, "action": "", "who": ""}
    assert status.summarise("shop", placed.edges, placed.apps, placed.observed, {})["state"] == "live"
    held = placed.observed["app1"]["containers"]
    held.remove(next(item for item in held if item["service"] == "backend"))
    found = status.summarise("shop", placed.edges, placed.apps, placed.observed, {})
    assert (found["state"], found["partial"]) == ("mixed", ["app1"])
    assert "  app1       DRIFT  backend is missing" in status.lines(found)
