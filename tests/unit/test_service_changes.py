# SPDX-License-Identifier: Apache-2.0
"""Services that are renamed, removed, moved to another port or of another kind between two releases: other routes do not notice."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, workers
from ansible_collections.sluice.stack.plugins.module_utils.plan.plan import PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard

IMAGE = "registry.test:5000/shop/backend"


@pytest.fixture
def shop(fleet: Any) -> Any:
    """Live, with one service more."""
    fleet.variables["app_services"]["admin"] = {"image": IMAGE, "port": 5000}
    fleet.variables["app_routes"] = [*fleet.variables["app_routes"], {"path": "/admin", "service": "admin"}]
    fleet.run()
    return fleet


def change(shop: Any) -> None:
    """In one release: backend is called api and listens on another port, frontend listens on another port, admin is gone."""
    shop.version("v1.1.0")
    services = copy.deepcopy(shop.variables["app_services"])
    services["api"] = {**services.pop("backend"), "port": 4001}
    services["frontend"]["port"] = 8081
    del services["admin"]
    shop.variables["app_services"] = services
    shop.variables["app_routes"] = [{"path": "/api", "service": "api"}, {"path": "/", "service": "frontend"}]
    shop.variables["app_migration"] = {**shop.variables["app_migration"], "service": "api"}


def asked(config: str, slot: str, path: str) -> set[str]:
    """The servers that a request for a path is sent to while a slot is live; none where it has no such route."""
    found = re.search(rf"location {re.escape(path)} \{{\n(.*?)^    \}}", config, re.MULTILINE | re.DOTALL)
    named = re.search(r"set \$sluice_service (\S+);", found[1]) if found else None
    service = named[1] if named else ""
    if service.startswith("$"):
        table = re.search(rf"^map \$sluice_slot {re.escape(service)} \{{\n(.*?)^\}}", config, re.MULTILINE | re.DOTALL)
        service = dict(re.findall(r'(\w+) "(.*)";', table[1]))[slot] if table else ""
    upstream = re.search(rf"^upstream sluice_shop_{service}_{slot} \{{\n(.*?)^\}}", config, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"server (\S+) ", upstream[1])) if service and upstream else set()


PATHS = ("/api/", "/", "/admin/")


def test_the_live_slot_is_asked_as_before_until_the_flip(shop: Any) -> None:
    before = shop.observed["edge1"]["edge"]["config"]
    was = {path: asked(before, "blue", path) for path in PATHS}
    assert all(len(servers) == 2 for servers in was.values()), "the helper finds something"
    change(shop)
    plan = shop.plan()
    assert plan["status"] == "change" and plan["configure"] == ["edge1"]
    assert plan["targets"].keys() & {"start", "configure", "flip"} and "workers" not in plan["steps"]
    assert {path: asked(plan["edge_config"], "blue", path) for path in PATHS} == was
    served = plan["manifest"]["ports"]
    for path, service in (("/api/", "api"), ("/", "frontend")):
        ports = {server.rpartition(":")[2] for server in asked(plan["edge_config"], "green", path)}
        assert ports == set(map(str, served[service]["green"]))
    green = {path: asked(plan["edge_config"], "green", path) for path in PATHS}
    assert green["/admin/"] == green["/"], "as the new release's routes have it"


def test_it_is_settled_after_that_and_can_be_rolled_back(shop: Any) -> None:
    first = shop.plan()["manifest"]
    change(shop)
    shop.run()
    assert shop.plan()["status"] == "nothing"
    back = shop.run("rollback")
    assert back["manifest"]["id"] == first["id"]
    assert back["manifest"]["ports"] == first["ports"], "recorded ports are the release's own"
    assert len(asked(back["edge_config"], back["slot"], "/admin/")) == 2


def test_a_name_that_comes_back_has_its_port_again(shop: Any) -> None:
    first, variables = shop.plan()["manifest"], copy.deepcopy(shop.variables)
    change(shop)
    shop.run()
    shop.variables = {**variables, "app_version": "v1.2.0"}
    assert shop.run()["manifest"]["ports"]["admin"] == first["ports"]["admin"]


@pytest.mark.parametrize("now", ["recreate", "blue_green"])
def test_another_strategy_takes_another_name_or_a_release_without_it(shop: Any, now: str) -> None:
    admin = shop.variables["app_services"]["admin"]
    if now == "blue_green":
        shop.variables["app_services"]["lock"] = {"image": IMAGE, "port": 5001, "strategy": "recreate"}
        shop.version("v1.0.1")
        shop.run()
        admin = shop.variables["app_services"]["lock"]
    name = "admin" if now == "recreate" else "lock"
    without = copy.deepcopy(shop.variables)
    del without["app_services"][name]
    without["app_routes"] = [route for route in without["app_routes"] if route["service"] != name]
    admin["strategy"] = now
    shop.version("v1.1.0")
    with pytest.raises(PlanError, match=f"service {name} is a singleton in only one of the live and the new release"):
        shop.plan()
    wanted, shop.variables = copy.deepcopy(shop.variables), {**without, "app_version": "v1.0.9"}
    was = asked(shop.observed["edge1"]["edge"]["config"], "blue", "/api/")
    assert shop.run()["status"] == "change"
    assert was
    shop.variables = wanted
    plan = shop.run()
    assert plan["status"] == "change"
    assert len(asked(plan["edge_config"], plan["slot"], "/api/")) == 2


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done on a host, with units in a folder of the test."""
    calls: list[str] = []
    monkeypatch.setattr(workers, "UNITS", str(tmp_path))
    monkeypatch.setattr(workers, "STAMPS", str(tmp_path))
    monkeypatch.setattr(workers, "_systemctl", lambda words: calls.append(" ".join(words)))
    monkeypatch.setattr(workers, "switch", lambda *_: calls.append("switch") or 0.0)
    for name in ("ensure_network", "create"):
        monkeypatch.setattr(docker_host, name, lambda *_: None)
    monkeypatch.setattr(docker_host, "remove", lambda _, item, **__: calls.append(f"remove {item}"))
    monkeypatch.setattr(workers, "_stop", lambda _, items, __: calls.extend(f"stop {item['id']}" for item in items))
    monkeypatch.setattr(docker_host, "worker_containers", lambda *_: [OLD])
    return calls


OLD = {"id": "old", "name": "shop-report-r1-0", "service": "report", "release": "r1", "state": "running"}


def apply(guard: Guard, schedule: str | None) -> None:
    service = {
        "image": "example/report",
        "command": None,
        "env": {},
        "secrets": {},
        "port": None,
        "replicas": 1,
        "schedule": schedule,
        "read_only": True,
        "tmpfs": [],
        "capabilities": [],
        "memory": 1,
        "pids": 1,
        "cpus": 0,
    }
    manifest = {"app": "shop", "id": "r2", "services": {"report": service}}
    workers.apply(None, guard, manifest, ["report"], "green", {}, "")  # type: ignore[arg-type]


def test_a_job_that_becomes_a_worker_is_not_scheduled_any_more(done: list[str], tmp_path: Path, guard: Guard) -> None:
    for name, text in workers.unit_files("shop", "report", "daily", OLD["name"]).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "stamp-sluice-shop-report.timer").touch()
    apply(guard, None)
    assert done == ["disable --now sluice-shop-report.timer", "daemon-reload", "switch"]
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_becomes_a_job_does_not_run_on_beside_it(done: list[str], tmp_path: Path, guard: Guard) -> None:
    apply(guard, "daily")
    assert done[-2:] == ["stop old", "remove old"]
    assert (tmp_path / "sluice-shop-report.timer").exists()


def test_a_run_of_a_job_that_is_under_way_ends_as_it_began(done: list[str], tmp_path: Path, guard: Guard) -> None:
    for name, text in workers.unit_files("shop", "report", "hourly", OLD["name"]).items():
        (tmp_path / name).write_text(text)
    apply(guard, "daily")
    assert not [call for call in done if "remove" in call]
