# SPDX-License-Identifier: Apache-2.0
"""A load test says what the app takes: against a capacity that is known, and against the lab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.knee import Knee
from tests.support.lab import INVENTORY, QUICK, Lab
from tests.support.playbook import REPO, Run, Started

PLAYBOOK = "playbooks/checks/load_test.yml"
APP = yaml.safe_load((REPO / INVENTORY / "group_vars" / "all" / "app.yml").read_text())


def load(folder: Path, profile: dict[str, Any], *arguments: str, sender: str = "controller") -> Run:
    """A load test, from here unless it says otherwise."""
    given = {"app_load_test": {**APP["app_load_test"], **profile}, "load_test_directory": str(folder)}
    command = [PLAYBOOK, "-i", INVENTORY, "-e", f"load_test_from={sender}", "-e", json.dumps(given), *arguments]
    return Started(command).wait(400)


def reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_the_lab_is_loaded_over_tls_and_compared(lab: Lab, v1_0_0: str, tmp_path: Path) -> None:
    short = {"stages": [{"rate": 10, "seconds": 2}], "limits": {"availability": 99, "latency": {"p90": 2}}}
    load(tmp_path, short).good()
    run = load(tmp_path, short).good()
    first, second = reports(tmp_path)
    assert (first["ok"], first["live"], second["live"]) == (True, v1_0_0, v1_0_0)
    assert f"against {first['time']}, {v1_0_0}" in run.output
    assert f"release {v1_0_0}" in next(iter(sorted(tmp_path.glob("*.html"), reverse=True))).read_text()


@pytest.mark.soak
def test_a_load_host_sends(lab: Lab, v1_0_0: str, tmp_path: Path) -> None:
    short = {"stages": [{"rate": 10, "seconds": 5}], "limits": {"availability": 99, "latency": {"p90": 2}}}
    load(tmp_path, short, "-i", "tests/fleet/load.yml", sender="load").good()
    (found,) = reports(tmp_path)
    assert (found["ok"], found["from"], found["stages"][0]["failed"]) == (True, "store1", 0)
    assert found["stages"][0]["answered"] >= 45
    # The edge itself says who asked.
    asked = lab.shell("edge1", "tail -n 200 /var/log/nginx/access.log")
    assert f'"client":"{lab.address("store1")}"' in asked
    assert lab.shell("store1", "pgrep -a k6 || true") == "", "nothing of it is left running"


@pytest.mark.soak
@pytest.mark.parametrize("at_once", [3, 6])
def test_the_capacity_is_what_a_direct_measurement_says(tmp_path: Path, at_once: int) -> None:
    with Knee(at_once, seconds=0.05) as knee:
        profile = {
            "url": knee.url,
            "ca": None,
            "requests": [{"path": "/"}],
            # Of many requests: a busy machine delays a few, and a queue delays them all.
            "limits": {"availability": 99.9, "latency": {"p90": 0.3}},
            "capacity": {"from": 40, "to": 400, "seconds": 10, "settle": 1, "precision": 3},
        }
        direct = knee.measured()
        load(tmp_path, profile, "-e", "load_test_mode=capacity").good()
        (found,) = reports(tmp_path)
        assert found["capacity"] == pytest.approx(direct, rel=0.1), f"{direct:.0f}/s directly"


@pytest.mark.soak
def test_a_limit_of_the_edge_is_found_and_stops_a_test(lab: Lab, v1_0_0: str, tmp_path: Path) -> None:
    routes = [
        {**APP["app_routes"][0], "rate_limit": {"requests": 40, "per": "second", "burst": 10}},
        APP["app_routes"][1],
    ]
    lab.deploy("v1.0.0", *QUICK, "-e", json.dumps({"app_routes": routes})).good()
    api = {"requests": [{"path": "/api/version"}], "capacity": {"from": 10, "to": 200, "seconds": 15, "settle": 1}}
    load(tmp_path, api, "-e", "load_test_mode=capacity").good()
    (found,) = reports(tmp_path)
    assert found["capacity"] == pytest.approx(40, rel=0.1)

    run = load(tmp_path, {**api, "stages": [{"rate": 80, "seconds": 60}]})
    assert run.error().startswith("load test of marketplace: broke availability 99.9 %")
    stopped = next(one for one in reports(tmp_path) if one["mode"] == "profile")
    sent = stopped["stages"][0]
    assert stopped["stopped"] == "availability 99.9 %" and sent["answered"] + sent["failed"] < 0.1 * 80 * 60
    lab.deploy("v1.0.0", *QUICK).good()
