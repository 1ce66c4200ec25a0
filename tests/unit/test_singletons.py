# SPDX-License-Identifier: Apache-2.0
"""A service that must not run twice: it goes over when the release is live, and the rest of the app does not wait for it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import containers, docker_host, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.readiness import SlotError
from ansible_collections.sluice.stack.plugins.module_utils.docker.workers import WorkersError
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard


@pytest.fixture
def shop(fleet: Any) -> Any:
    """With a service that holds a lock, asked under a path of its own."""
    lock = {"image": "registry.test:5000/shop/lock", "port": 5000, "strategy": "recreate", "stop_grace": 10}
    fleet.variables["app_services"]["lock"] = lock
    fleet.variables["app_routes"] = [*fleet.variables["app_routes"], {"path": "/lock", "service": "lock"}]
    return fleet


def held(release: str, state: str = "running", service: str = "lock") -> dict[str, Any]:
    return {"service": service, "release": release, "state": state, "status": "Up"}


def live(shop: Any) -> dict[str, Any]:
    """The first release, with its lock running."""
    plan: dict[str, Any] = shop.run()
    shop.observed["app1"]["workers"] = [held(plan["manifest"]["id"])]
    return plan


def said(plan: dict[str, Any], step: str) -> list[str]:
    return [line[13:] for line in plan["lines"] if line.startswith(f"  {step:<10} ")]


def test_at_first_it_starts_with_the_slot_because_the_flip_asks_for_it(shop: Any) -> None:
    plan = shop.plan()
    assert plan["services"] == {"app1": ["backend", "frontend", "lock"], "app2": ["backend", "frontend"]}
    assert plan["workers"] == {} and "workers" not in plan["steps"]
    assert said(plan, "start")[0].endswith("in blue, lock on port 20590 alongside the slots")
    assert plan["manifest"]["services"]["lock"]["hosts"] == ["app1"], "the release says where"


def test_it_is_replaced_when_the_release_is_live_and_the_plan_says_for_how_long(shop: Any) -> None:
    first = live(shop)
    assert shop.plan()["status"] == "nothing"
    shop.version("v1.1.0")
    shop.observed["app1"]["gaps"] = {"lock": 1.8}
    plan = shop.run()
    assert plan["steps"] == ["pending", "migrate", "start", "flip", "confirm", "workers", "retire", "unlock"]
    assert plan["workers"] == {"app1": ["lock"]}
    assert said(plan, "recreate") == [
        "app1: lock: 503 from its stop until the new one is healthy, at most 70 s; 1.8 s last time"
    ]
    assert said(plan, "workers") == []
    assert plan["manifest"]["ports"]["lock"] == first["manifest"]["ports"]["lock"] == {"singleton": [20590]}
    assert plan["configure"] == [], "its port stays, so there is no reload"


def test_both_slots_ask_the_one_there_is_and_its_visitors_get_503_meanwhile(shop: Any) -> None:
    config = live(shop)["edge_config"]
    for slot in ("blue", "green"):
        found = re.search(rf"^upstream sluice_shop_lock_{slot} \{{\n(.*?)^\}}", config, re.M | re.S)
        assert found and re.findall(r"server (\S+) ", found[1]) == ["10.0.0.21:20590"]
    lock = re.search(r"^    location /lock/ \{\n(.*?)^    \}", config, re.M | re.S)
    assert lock and "error_page 502 = @sluice_replaced;" in lock[1] and "error_page 597" in lock[1]
    assert config.count("location @sluice_replaced {") == 1
    assert "Retry-After 2" in config and 'try again.\\n";' in config
    other = re.search(r"^    location /api/ \{\n(.*?)^    \}", config, re.M | re.S)
    assert other and "502" not in other[1]


@pytest.mark.parametrize("state", ["exited", "starting", None])
def test_one_that_is_down_is_brought_back_before_anything_else(shop: Any, state: str | None) -> None:
    release = live(shop)["manifest"]["id"]
    shop.observed["app1"]["workers"] = [held(release, state)] if state else []
    plan = shop.plan()
    assert plan["status"] == "repair" and plan["start"] == ["app1"]
    assert "workers" not in plan["steps"]
    assert said(plan, "drift") == ["app1: lock is not running"]


def test_one_that_a_dead_run_left_at_another_release_goes_over(shop: Any) -> None:
    live(shop)
    shop.observed["app1"]["workers"] = [held("20261101T000000Z-v0.9")]
    plan = shop.plan()
    assert plan["steps"] == ["workers", "unlock"]


def test_it_is_taken_away_with_the_release_that_has_none(shop: Any) -> None:
    live(shop)
    shop.variables["app_services"].pop("lock")
    shop.variables["app_routes"].pop()
    plan = shop.plan()
    assert plan["workers"] == {"app1": []}
    assert said(plan, "workers") == ["app1: remove lock"]


def test_it_does_not_move_in_one_release(shop: Any) -> None:
    live(shop)
    shop.variables["app_services"]["lock"]["hosts"] = ["app2"]
    with pytest.raises(PlanError) as caught:
        shop.plan()
    assert str(caught.value) == (
        "singleton service lock runs on app1, but app_services.lock.hosts names app2: it cannot move in one release; "
        "deploy once without it, or exclude app1 if it is lost (-e release_exclude_hosts=app1)"
    )
    assert shop.plan(excluded=frozenset({"app1"}))["start"] == ["app2"]


def test_one_that_comes_back_with_a_lost_host_is_taken_away(shop: Any) -> None:
    release = live(shop)["manifest"]["id"]
    shop.observed["app2"]["workers"] = [held(release)]
    plan = shop.plan()
    assert plan["workers"] == {"app2": []}
    assert said(plan, "workers") == ["app2: remove lock"]


def test_it_cannot_become_one_that_runs_twice_in_one_release(shop: Any) -> None:
    live(shop)
    shop.variables["app_services"]["lock"].pop("strategy")
    with pytest.raises(PlanError, match="service lock is a singleton in only one of"):
        shop.plan()


def test_a_drained_host_keeps_nothing_that_is_nowhere_else(shop: Any) -> None:
    live(shop)
    with pytest.raises(PlanError, match="service lock has no host to run on: app1"):
        shop.plan("drain", host="app1")


# on the host


class Engine:
    """Containers in memory; fails when two of a service would run at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *there: dict[str, Any], ill: bool = False) -> None:
        self.running = {item["name"] for item in there if item["state"] != "exited"}
        self.done: list[str] = []
        self.ill = ill
        fakes = {
            "ensure_network": lambda *_: None,
            "create": lambda _, item: str(item["name"]),
            "start": self._start,
            "remove": self._remove,
            "set_restart": lambda _, name, __: self.done.append(f"keep {name}"),
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(docker_host, name, fake)
        monkeypatch.setattr(workers, "wait_all", self._wait)

    def _start(self, _: Any, name: str) -> None:
        assert not self.running, f"{name} starts beside {self.running}"
        self.running.add(name)
        self.done.append(f"start {name}")

    def _remove(self, _: Any, name: str, force: bool = False) -> None:
        self.running.discard(name)
        self.done.append(f"remove {name}")

    def _wait(self, *_: Any) -> None:
        if self.ill:
            raise SlotError("container is not healthy within 1 s")

    def post(self, path: str, **_: Any) -> None:
        name = path.split("/")[2]
        self.running.discard(name)
        self.done.append(f"stop {name}")


def container(name: str, release: str, state: str = "running") -> dict[str, Any]:
    return {"id": name, "name": name, "service": "lock", "release": release, "state": state}


def manifest(shop: Any) -> dict[str, Any]:
    return {**shop.plan()["manifest"], "id": "r2"}


def test_it_never_runs_twice(shop: Any, monkeypatch: pytest.MonkeyPatch, guard: Guard) -> None:
    engine: Any = Engine(monkeypatch, container("old", "r1"))
    workers.switch(engine, guard, manifest(shop), "lock", "green", {}, [container("old", "r1")], "10.0.0.21")
    assert engine.done == ["stop old", "start shop-lock-r2-0", "keep shop-lock-r2-0", "remove old"]


def test_one_that_does_not_get_well_gives_way_to_the_one_before(
    shop: Any, monkeypatch: pytest.MonkeyPatch, guard: Guard
) -> None:
    engine: Any = Engine(monkeypatch, container("old", "r1"), ill=True)
    with pytest.raises(WorkersError, match="service lock: the previous release runs again; container is not healthy"):
        workers.switch(engine, guard, manifest(shop), "lock", "green", {}, [container("old", "r1")], "10.0.0.21")
    assert engine.done == ["stop old", "start shop-lock-r2-0", "remove shop-lock-r2-0", "start old"]


def test_what_a_dead_run_was_starting_is_stopped_first(
    shop: Any, monkeypatch: pytest.MonkeyPatch, guard: Guard
) -> None:
    there = [container("a", "r1", "exited"), container("b", "r3", "starting")]
    engine: Any = Engine(monkeypatch, *there)
    workers.switch(engine, guard, manifest(shop), "lock", "green", {}, there, "10.0.0.21")
    assert engine.done[:2] == ["stop b", "start shop-lock-r2-0"]


def test_what_a_dead_run_had_stopped_runs_again_when_the_new_one_does_not(
    shop: Any, monkeypatch: pytest.MonkeyPatch, guard: Guard
) -> None:
    there = [container("older", "r0", "exited"), container("old", "r1", "exited")]
    engine: Any = Engine(monkeypatch, *there, ill=True)
    with pytest.raises(WorkersError, match="the previous release runs again"):
        workers.switch(engine, guard, manifest(shop), "lock", "green", {}, there, "10.0.0.21")
    assert engine.running == {"old"}


def test_two_at_once_would_be_noticed(shop: Any, monkeypatch: pytest.MonkeyPatch, guard: Guard) -> None:
    engine: Any = Engine(monkeypatch, container("old", "r1"))
    wanted = manifest(shop)
    wanted["services"]["lock"]["update_order"] = "start_first"
    with pytest.raises(AssertionError, match="starts beside"):
        workers.switch(engine, guard, wanted, "lock", "green", {}, [container("old", "r1")], "10.0.0.21")


def test_services_of_both_slots_reach_it_by_name(shop: Any) -> None:
    found = containers.worker_containers(manifest(shop), "lock", "green", {}, "10.0.0.21")
    assert [(item["network"], item["also_in"], item["alias"]) for item in found] == [
        ("sluice-shop-green", ["sluice-shop-blue"], "lock")
    ]
    assert found[0]["publish"] == {"port": 5000, "address": "10.0.0.21", "host_port": 20590}
