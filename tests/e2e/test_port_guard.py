# SPDX-License-Identifier: Apache-2.0
"""The ports of apps can be reached from the edge and from no other host of the network."""

from __future__ import annotations

import json

import pytest

from tests.support.lab import APP_HOSTS, STATE, Lab

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()"
LOAD = ("provision", "--limit", "app1,localhost", "--tags", "baseline")


def live_port(lab: Lab, host: str) -> int:
    """A port of the backend in the slot that serves."""
    record = lab.record()
    assert record
    ports = json.loads(lab.shell(host, f"cat {STATE}/ports.json"))
    return int(ports[f"marketplace/backend/{record['confirmed']['slot']}/0"])


def reaches(lab: Lab, source: str, host: str) -> bool:
    """Whether a host can open a connection to the live backend on an app host."""
    port = str(live_port(lab, host))
    done = lab.on(source, "sh", "-c", f"python3 -c '{CONNECT}' {lab.address(host)} {port} && echo yes", check=False)
    return "yes" in done


@pytest.mark.parametrize("host", APP_HOSTS)
def test_the_edge_reaches_an_app_and_nobody_else_does(lab: Lab, v1_0_0: str, host: str) -> None:
    others = [name for name in ("db1", "store1", *APP_HOSTS) if name != host]
    assert reaches(lab, "edge1", host)
    assert [name for name in others if reaches(lab, name, host)] == []
    # The host itself does: its own checks ask at the published address.
    assert reaches(lab, host, host)


def test_a_restart_of_the_engine_does_not_lose_the_rules(lab: Lab, v1_0_0: str) -> None:
    lab.shell("app1", "systemctl restart docker")
    assert reaches(lab, "edge1", "app1")
    assert not reaches(lab, "db1", "app1")


def test_without_the_rules_anybody_reaches_it_and_provisioning_loads_them_again(lab: Lab, v1_0_0: str) -> None:
    """The control: it is the rules that keep others out."""
    lab.shell("app1", "nft delete table inet sluice")
    try:
        assert reaches(lab, "db1", "app1")
    finally:
        run = lab.playbook(*LOAD).good()
    assert set(run.changed()) == {"app1"}
    assert not reaches(lab, "db1", "app1")


def test_they_can_be_switched_off(lab: Lab, v1_0_0: str) -> None:
    try:
        lab.playbook(*LOAD, "-e", "baseline_firewall=false").good()
        assert reaches(lab, "db1", "app1")
        assert lab.playbook(*LOAD, "-e", "baseline_firewall=false").good().changed() == {}
    finally:
        lab.playbook(*LOAD).good()
    assert not reaches(lab, "db1", "app1")
