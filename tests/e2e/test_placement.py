# SPDX-License-Identifier: Apache-2.0
"""A web service moves to some app hosts only, under load, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.support.lab import APP_HOSTS, INVENTORY, QUICK, Lab
from tests.support.load import Ask, Load
from tests.support.playbook import REPO

ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/", expect=(200,)))
# Two reloads of Nginx, which may cost a client a request each; their cost is stated, not promised away.
RELOADS = 4


def backend_on(*hosts: str) -> tuple[str, ...]:
    """The inventory's services with the backend on these hosts, as options of a deploy."""
    text = (REPO / INVENTORY / "group_vars" / "all" / "app.yml").read_text()
    services: dict[str, Any] = yaml.safe_load(text)["app_services"]
    services["backend"]["hosts"] = list(hosts)
    return (*QUICK, "-e", json.dumps({"app_services": services}))


def services_on(lab: Lab) -> dict[str, set[str]]:
    return {host: {item["service"] for item in lab.containers(host).values()} for host in APP_HOSTS}


@pytest.mark.soak
def test_a_service_moves_to_one_host_and_back_under_load(lab: Lab, v1_0_0: str) -> None:
    with Load(lab.url, *ASKS, rate=100) as load:
        run = lab.deploy("v1.0.0", *backend_on("app2")).good()
        assert services_on(lab) == {"app1": {"frontend"}, "app2": {"backend", "frontend"}}
        assert set(lab.served()) == {"app2"}
        assert "backend in green has other hosts or ports" in run.output or "backend in blue has" in run.output

        # Whole as it is, and its only host cannot be drained.
        assert "nothing was changed" in lab.deploy("v1.0.0", *backend_on("app2")).good().output
        assert "marketplace: live" in lab.playbook("status").good().output
        refused = lab.playbook("playbooks/hosts/drain", "-e", "release_host=app2").error()
        assert "service backend has no host to run on: app2 is drained or excluded" in refused
        assert set(lab.served()) == {"app2"} and not any(lab.leases().values())

        lab.rollback(*QUICK).good()
        assert services_on(lab) == {host: {"backend", "frontend"} for host in APP_HOSTS}
    assert set(lab.served()) == set(APP_HOSTS)
    assert load.report.failed <= RELOADS, str(load.report)
    assert load.report.total > 500, "there was load"
