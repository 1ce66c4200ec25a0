# SPDX-License-Identifier: Apache-2.0
"""What a run will do about hosts that join or are drained, and about workers and jobs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError


def test_a_drained_host_gets_no_requests_and_no_release(fleet: Any) -> None:
    fleet.run()
    plan = fleet.plan("drain", host="app2")
    assert plan["steps"] == ["configure", "drain", "unlock"]
    assert plan["drain"] == ["app2"]
    assert "10.0.0.22" not in plan["edge_config"]
    assert plan["lines"][2] == "  drain      app2: it gets no new requests and finishes open ones"
    fleet.execute(plan)
    fleet.observed["app2"]["drained"] = True
    assert fleet.plan("drain", host="app2")["status"] == "nothing"
    fleet.version("v1.1.0")
    upgrade = fleet.run()
    assert upgrade["start"] == ["app1"]
    assert upgrade["record"] == ["app1", "app2"], "it is told, and given back"
    assert "10.0.0.22" not in upgrade["edge_config"]
    assert "  drained    app2, until playbooks/hosts/join.yml" in upgrade["lines"]


def test_a_host_joins_with_the_live_release_before_it_gets_requests(fleet: Any) -> None:
    fleet.run()
    fleet.observed["app2"] |= {"drained": True, "containers": []}
    fleet.observed["edge1"]["edge"]["config"] = "without it"
    plan = fleet.plan("join", host="app2")
    assert plan["steps"] == ["start", "join", "configure", "unlock"]
    assert plan["start"] == ["app2"]
    assert "10.0.0.22" in plan["edge_config"]


def test_a_host_nobody_knows_can_neither_join_nor_be_drained(fleet: Any) -> None:
    fleet.run()
    with pytest.raises(PlanError, match="release_host=app22 is not an app host of the inventory: did you mean 'app2'"):
        fleet.plan("drain", host="app22")
    with pytest.raises(PlanError, match="app2 is unreachable"):
        fleet.plan("join", host="app2", excluded=frozenset({"app2"}))
    for host in fleet.apps:
        fleet.observed[host]["drained"] = True
    with pytest.raises(PlanError, match="no app host is left"):
        fleet.plan()


def workers(service: str, release: str, state: str = "running") -> dict[str, Any]:
    return {"service": service, "release": release, "state": state, "status": "Up"}


def test_workers_and_jobs_follow_once_the_release_is_live(fleet: Any) -> None:
    fleet.variables["app_services"] |= {
        "mailer": {"image": "registry.test:5000/shop/backend", "replicas": 2},
        "report": {"image": "registry.test:5000/shop/backend", "schedule": "daily"},
    }
    plan = fleet.run()
    release = plan["manifest"]["id"]
    assert plan["workers"] == {"app1": ["mailer", "report"], "app2": ["mailer"]}
    assert plan["steps"][-4:] == ["confirm", "workers", "retire", "unlock"]
    assert "mailer" not in plan["manifest"]["ports"]
    assert "  workers    app1: mailer (new on this host), report (new on this host)" in plan["lines"]
    assert fleet.plan()["steps"] == ["workers", "unlock"], "they do not run yet"
    mailers = [workers("mailer", release), workers("mailer", release)]
    fleet.observed["app1"]["workers"] = [*mailers, workers("report", release, "exited")]
    fleet.observed["app2"]["workers"] = [*mailers]
    assert fleet.plan()["status"] == "nothing"
    fleet.observed["app2"]["workers"] = [mailers[0], workers("mailer", "old")]
    assert fleet.plan()["workers"] == {"app2": ["mailer"]}


def test_a_worker_that_is_no_part_of_the_release_any_more_is_taken_away(fleet: Any) -> None:
    fleet.run()
    fleet.observed["app2"]["workers"] = [workers("mailer", "old")]
    plan = fleet.plan()
    assert plan["workers"] == {"app2": []}
    assert "  workers    app2: remove mailer" in plan["lines"]


def test_a_worker_is_placed_by_the_names_of_hosts(fleet: Any) -> None:
    worker = {"image": "registry.test:5000/shop/backend", "hosts": ["app2"]}
    fleet.variables["app_services"]["mailer"] = worker
    assert fleet.plan()["workers"] == {"app2": ["mailer"]}
    worker["hosts"] = ["app3"]
    with pytest.raises(
        PlanError, match=r"app_services\.mailer\.hosts names app3, which is not an app host of the inventory"
    ):
        fleet.plan()
