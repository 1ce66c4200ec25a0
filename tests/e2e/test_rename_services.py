# SPDX-License-Identifier: Apache-2.0
"""One release that renames a service, moves it to another port and removes another one, and the way back, under load."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.support.lab import INVENTORY, QUICK, Lab
from tests.support.load import Ask, Load
from tests.support.playbook import REPO

ASKS = (
    Ask("GET", "/api/version", expect=(200,)),
    Ask("GET", "/", expect=(200,)),
    Ask("GET", "/word", expect=(200,)),
    Ask("POST", "/api/bookings", json.dumps({"note": "x" * 20_000}).encode(), expect=(400,)),
)
# Changed routes cost one reload of Nginx, which may cost a client a request.
RELOADS = 1


def app(services: dict[str, int], routes: dict[str, str]) -> tuple[str, ...]:
    """The inventory's app with small services (name → port) and routes to them (path → name), as options of a deploy."""
    found: dict[str, Any] = yaml.safe_load((REPO / INVENTORY / "group_vars" / "all" / "app.yml").read_text())
    for name, port in services.items():
        serve = f"require('http').createServer((q, a) => a.end('{name} {port}')).listen({port})"
        found["app_services"][name] = {
            "image": found["app_services"]["backend"]["image"],
            "command": ["node", "-e", serve],
            "port": port,
            "stop_grace": 2,
        }
    found["app_routes"] += [{"path": path, "service": name} for path, name in routes.items()]
    return (*QUICK, "-e", json.dumps({name: found[name] for name in ("app_services", "app_routes")}))


@pytest.mark.soak
def test_services_change_in_one_release_and_other_routes_do_not_notice(lab: Lab, v1_0_0: str) -> None:
    before = app({"word": 5000, "gone": 5001}, {"/word": "word", "/gone": "gone"})
    lab.deploy("v1.0.0", *before).good()
    assert [lab.ask(path).text for path in ("/word", "/gone")] == ["word 5000", "gone 5001"]
    with Load(lab.url, *ASKS, rate=100) as load:
        lab.deploy("v1.1.0", *app({"term": 6000}, {"/word": "term"})).good()
    assert load.report.failed <= RELOADS and load.report.total > 200, str(load.report)
    assert lab.ask("/word").text == "term 6000"
    assert lab.ask("/gone").text not in ("gone 5001", "")
    with Load(lab.url, *ASKS, rate=100) as load:
        lab.rollback(*QUICK).good()
    assert load.report.failed <= RELOADS and load.report.total > 200, str(load.report)
    assert [lab.ask(path).text for path in ("/word", "/gone")] == ["word 5000", "gone 5001"]
    lab.deploy("v1.0.0", *QUICK).good()
