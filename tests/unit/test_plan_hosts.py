# SPDX-License-Identifier: Apache-2.0
"""What a run will do about hosts that join or are drained, and about workers and jobs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.plan import placement
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


@pytest.fixture
def with_job(fleet: Any) -> Any:
    """The report runs on the first host; it is live, and there."""
    fleet.variables["app_services"]["report"] = {"image": "registry.test:5000/shop/report", "schedule": "daily"}
    release = fleet.run()["manifest"]["id"]
    fleet.observed["app1"]["workers"] = [workers("report", release, "exited")]
    assert fleet.plan()["status"] == "nothing"
    return fleet


def test_a_job_whose_host_is_excluded_runs_on_the_next_one(with_job: Any) -> None:
    plan = with_job.plan(excluded=frozenset({"app1"}))
    assert plan["workers"] == {"app2": ["report"]}
    assert plan["start"] == ["app2"], "its image is pulled before"
    with_job.version("v1.1.0")
    assert with_job.plan(excluded=frozenset({"app1"}))["workers"] == {"app2": ["report"]}


def test_it_goes_home_when_its_host_is_back(with_job: Any) -> None:
    release = with_job.observed["app1"]["workers"][0]["release"]
    with_job.observed["app2"]["workers"] = [workers("report", release, "exited")]
    assert with_job.plan()["workers"] == {"app2": []}


def test_a_job_of_a_drained_host_runs_once(with_job: Any) -> None:
    plan = with_job.plan("drain", host="app1")
    assert plan["workers"] == {"app1": [], "app2": ["report"]}


def test_a_job_stays_where_a_host_merely_does_not_answer(with_job: Any) -> None:
    """It may run there: nobody has said that the host is lost."""
    with_job.version("v1.1.0")
    with_job.run()
    plan = with_job.plan("rollback", unreachable=frozenset({"app1"}))
    assert "report" not in plan["services"].get("app2", [])


def test_a_job_that_names_its_host_goes_on_after_it_in_the_inventory() -> None:
    services = {"report": {"port": None, "schedule": "daily", "hosts": ["b"]}}
    named = ["a", "b", "c"]
    for away, host in (((), "b"), (("b",), "c"), (("b", "c"), "a"), (("a", "b", "c"), None)):
        taking_part = [one for one in named if one not in away]
        found = placement.spread({"services": services}, named, taking_part, away)
        assert [one for one, names in found.items() if names] == ([host] if host else [])


def test_a_singleton_service_does_not_move_by_itself(fleet: Any) -> None:
    lock = {"image": "registry.test:5000/shop/lock", "port": 5000, "strategy": "recreate"}
    fleet.variables["app_services"]["lock"] = lock
    fleet.run()
    with pytest.raises(PlanError, match="service lock has no host to run on"):
        fleet.plan(excluded=frozenset({"app1"}))
