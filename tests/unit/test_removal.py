# SPDX-License-Identifier: Apache-2.0
"""Removing an app takes all that is the app's, on confirmation, and nothing that is another app's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import containers, docker_host, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker import removal as removals
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import EngineError
from ansible_collections.sluice.stack.plugins.module_utils.plan import removal
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, LeaseLost
from ansible_collections.sluice.stack.plugins.modules import app_remove

FOUND = {"app1": {"containers": ["shop-web-r1-blue-0"], "ports": [20001]}, "edge1": {"edge": ["record"]}}


class Engine:
    """Containers, networks and images of two apps."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.containers = [
            {"Id": "c1", "Names": ["/shop-web"], "ImageID": "i1", "app": "shop"},
            {"Id": "c2", "Names": ["/shop-two-web"], "ImageID": "i2", "app": "shop-two"},
        ]
        self.networks = [
            {"Name": "sluice-shop-blue", "app": "shop"},
            {"Name": "sluice-shop-two-blue", "app": "shop-two"},
        ]
        self.images = [{"Id": f"i{number}", "RepoDigests": [f"r/x@{number}"]} for number in range(1, 5)]
        self.stuck: set[str] = set()

    def get(self, path: str, **query: Any) -> list[Any]:
        kind = path.split("/")[1]
        items: list[Any] = getattr(self, kind)
        wanted = json.loads(query.get("filters", "{}")).get("label", [])
        return [item for item in items if all(item["app"] == label.rpartition("=")[2] for label in wanted)]

    def post(self, path: str, body: Any = None, **_unused: Any) -> None:
        self.done.append(path)

    def delete(self, path: str, **_unused: Any) -> None:
        if path in self.stuck:
            raise EngineError("conflict: image is being used")
        self.done.append(f"delete {path}")


def entry(release: str, *images: str) -> dict[str, Any]:
    return {"release": release, "manifest": {"services": {str(n): {"image": one} for n, one in enumerate(images)}}}


LEDGERS = {"shop": [entry("r1", "r/x@1", "r/x@2", "r/x@3")], "shop-two": [entry("r1", "r/x@3")]}


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Jobs of two apps whose names begin alike."""
    for app, service in (("shop", "report"), ("shop-two", "report"), ("shop", "two-clean")):
        for name, text in workers.unit_files(app, service, "daily", "any").items():
            (tmp_path / name).write_text(text)
    return tmp_path


def test_only_what_is_the_apps_is_found(units: Path) -> None:
    held = removals.find(Engine(), "shop", LEDGERS, str(units))  # type: ignore[arg-type]
    assert held.containers == {"c1": "shop-web"}
    assert held.jobs == ["report", "two-clean"]
    assert held.networks == ["sluice-shop-blue"]
    assert held.images == ["r/x@1"], "2 runs in another app's container, 3 is in its ledger, 4 is nobody's"


def test_an_image_that_is_in_use_after_all_stays(units: Path) -> None:
    engine: Any = Engine()
    held = removals.find(engine, "shop", LEDGERS, str(units))
    engine.stuck = {"/images/r/x@1"}
    assert removals.clear(engine, held) == ["r/x@1"]
    removals.stop(engine, held)
    assert engine.done == ["delete /networks/sluice-shop-blue", "/containers/c1/stop", "delete /containers/c1"]


def test_ports_of_an_app_whose_name_begins_alike_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ports.json"
    file.write_text(json.dumps({"shop/web/blue/0": 1, "shop-two/web/blue/0": 2}))
    monkeypatch.setattr(app_remove, "ports_file", lambda: str(file))
    monkeypatch.setattr(app_remove, "STATE_ROOT", str(tmp_path))
    app_remove.forget_ports("shop")
    assert json.loads(file.read_text()) == {"shop-two/web/blue/0": 2}


@pytest.mark.parametrize("remove_data", [False, True])
def test_the_history_stays_unless_it_shall_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remove_data: bool
) -> None:
    folder, aside = tmp_path / "apps" / "shop", tmp_path / "removed" / "shop.jsonl"
    run = {"id": "a", "action": "deploy", "who": "anna@build"}
    ledger.append(str(folder / "ledger.jsonl"), [ledger.entry("started", token=1, time="", run=run, manifest=None)])
    monkeypatch.setattr(app_remove, "ledger_file", lambda _unused: str(folder / "ledger.jsonl"))
    monkeypatch.setattr(app_remove, "removed_ledger", lambda _unused: str(aside))
    app_remove.forget("shop", str(folder), remove_data)
    assert not folder.exists()
    assert [item["token"] for item in ledger.read(str(aside))] == ([] if remove_data else [1])


def test_a_late_heartbeat_does_not_bring_the_app_back(tmp_path: Path) -> None:
    guard = Guard("shop", "a", 1, str(tmp_path))
    with pytest.raises(LeaseLost, match="was removed from this host"):
        guard.renew(15)
    assert guard.expire() is False
    guard.release()
    guard.break_lease()
    with guard.afterwards() as undisturbed:
        assert undisturbed is False
    assert not Path(guard.folder).exists()


def test_a_plan_is_confirmed_by_its_id_or_the_apps_name() -> None:
    identity = removal.confirmation("shop", FOUND)
    assert removal.check("shop", FOUND, identity) and removal.check("shop", FOUND, "shop")
    assert not removal.check("shop", FOUND, "")
    for other in ("shop-two", removal.confirmation("shop", {**FOUND, "app1": {}}), "true"):
        with pytest.raises(removal.NotConfirmed, match=f"remove_confirm={other} is neither"):
            removal.check("shop", FOUND, other)


def test_the_plan_says_what_is_where() -> None:
    shown = removal.lines("shop", {**FOUND, "app2": {}}, confirmed=False, remove_data=False, excluded=["app3"])
    assert shown == [
        "Remove shop from every host",
        "  app1       containers shop-web-r1-blue-0",
        "  app1       ports      20001",
        "  app2       nothing",
        "  edge1      edge       record",
        "  app3       excluded: what it has of shop stays",
        "  history    is kept in /var/lib/sluice/removed/shop.jsonl (-e remove_data=true)",
        "  database   stays; to drop it: docs/runbooks/remove-an-app.md",
        f"Nothing was changed. To remove it: -e remove_confirm={removal.confirmation('shop', {**FOUND, 'app2': {}})}",
    ]
    assert "Nothing was changed" not in removal.lines("shop", FOUND, confirmed=True, remove_data=True, excluded=[])[-1]


def test_workers_are_found_by_the_label_they_are_made_with(contract: dict[str, Any]) -> None:
    """The engine is asked for what containers really carry."""
    service = {**contract["services"]["backend"], "port": None}
    manifest = {"app": "shop", "id": "r1", "services": {"mailer": {**service, "secrets": {}}}, "ports": {}}
    made = containers.worker_containers(manifest, "mailer", "blue", {})[0]["labels"]
    asked: list[str] = []

    class Listing:
        def get(self, _path: str, **query: Any) -> list[Any]:
            asked.extend(json.loads(query["filters"])["label"])
            return []

    docker_host.worker_containers(Listing(), "shop")  # type: ignore[arg-type]
    assert {label.partition("=")[0] for label in asked} <= set(made)
