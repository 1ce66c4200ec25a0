# SPDX-License-Identifier: Apache-2.0
"""What a host says of its containers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import labels


def engine(state: str, policy: str | None) -> Any:
    """An engine with one container; with no ``policy`` it is gone when it is looked at."""
    item = {
        "Id": "c1",
        "Names": ["/shop-backend-r1-0"],
        "Labels": labels("shop", "backend", "blue", "r1", 0),
        "State": state,
        "Status": "Up",
        "Image": "backend",
        "Ports": [{"IP": "10.0.0.21", "PrivatePort": 4000, "PublicPort": 20000}],
    }

    def get(path: str, **_: Any) -> Any:
        if path == "/containers/json":
            return [item]
        if policy is None:
            raise docker_host.NotFound("gone")
        return {"HostConfig": {"RestartPolicy": {"Name": policy}}}

    return SimpleNamespace(get=get)


@pytest.mark.parametrize(
    ("state", "policy", "told"),
    [
        ("running", "unless-stopped", "running"),
        ("running", "no", "starting"),
        ("running", None, "starting"),
        ("exited", "no", "exited"),
        ("restarting", "unless-stopped", "restarting"),
    ],
)
def test_a_container_runs_once_it_has_been_healthy(state: str, policy: str | None, told: str) -> None:
    found = docker_host.app_containers(engine(state, policy), "shop")[0]
    assert found["state"] == told
    assert found["address"] == ["10.0.0.21", 20000]
