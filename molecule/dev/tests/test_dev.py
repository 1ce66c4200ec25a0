# SPDX-License-Identifier: Apache-2.0
"""The example of a developer's machine, after the commands of inventories/README.md: the app at localhost, everything on one host."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import Any

import pytest
from testinfra.host import Host

CONTAINER = "sluice-dev-dev1"


def ask(path: str, name: str = "localhost") -> Any:
    """Ask the port that stands for this machine's port 80."""
    port = (
        subprocess.run(["docker", "port", CONTAINER, "80/tcp"], capture_output=True, text=True, check=True)
        .stdout.split()[0]
        .rpartition(":")[2]
    )
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": name})
    return urllib.request.urlopen(request, timeout=10)


def test_the_app_is_at_localhost() -> None:
    version = json.load(ask("/api/version"))
    assert (version["version"], version["banner"]) == ("v1.1.0", "dev")
    assert '<div id="root"' in ask("/").read().decode()
    assert json.load(ask("/api/accountants"))["accountants"], "the seed's"


def test_and_at_no_other_name() -> None:
    # The edge ends the connection without an answer.
    with pytest.raises(ConnectionResetError):
        ask("/api/version", "elsewhere.test")


@pytest.mark.parametrize("unit", ["docker", "postgresql", "redis-server", "nginx"])
def test_it_comes_back_after_a_reboot(host: Host, unit: str) -> None:
    assert host.service(unit).is_enabled


def test_the_settings_of_the_environment_are_those_of_the_matrix(host: Host) -> None:
    ids = host.check_output("docker ps -q --filter label=stack.sluice.service=backend").split()
    environment = dict(
        item.split("=", 1)
        for item in json.loads(host.check_output("docker inspect -f '{{json .Config.Env}}' %s", ids[0]))
    )
    assert (environment["NODE_ENV"], environment["LOG_LEVEL"], environment["PAYMENTS"]) == (
        "development",
        "debug",
        "fake",
    )
