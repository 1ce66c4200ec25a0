# SPDX-License-Identifier: Apache-2.0
"""Chaos experiments: what they promise is seen, what is broken is said, and they are undone whoever dies."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import PREFIX, QUICK, Lab, until
from tests.support.playbook import REPO

CHAOS = "playbooks/checks/chaos"
HOSTS = ("edge1", "app1", "app2", "db1")
# How long a run may take to its action on a busy machine.
BEGINS = 150


def settings(**more: object) -> tuple[str, str]:
    """The inventory's app_chaos with other values."""
    probes = [{"path": "/api/accountants"}]
    return "-e", json.dumps(
        {"app_chaos": {"enabled": True, "probes": probes, "cpus": 1, "memory_limit": "256m", **more}}
    )


def report(folder: Path) -> dict[str, dict[str, Any]]:
    """What the run wrote, by experiment."""
    (path,) = folder.glob("*.json")
    assert path.with_suffix(".html").stat().st_size > 3000
    return {row["name"]: row for row in json.loads(path.read_text())["experiments"]}


@pytest.fixture
def harmless(lab: Lab, v1_0_0: str) -> Iterator[None]:
    """Whatever a test does, nothing is left of it."""
    yield
    for host in HOSTS:
        until(lambda host=host: not active(lab, host), 60, f"{host} has undone everything")
    assert not any("sluice_chaos" in lab.shell(host, "nft list tables") for host in HOSTS)


def active(lab: Lab, host: str) -> str:
    """What is left of an experiment on a host."""
    files = "/var/lib/sluice/chaos/* /etc/systemd/system/*sluice-chaos* /etc/systemd/system/*/*sluice-chaos*"
    return lab.shell(
        host, f"ls {files} 2>/dev/null; systemctl list-units --plain --no-legend 'sluice-chaos*'", check=False
    )


def test_a_killed_container_costs_nothing_and_a_broken_promise_is_said(
    lab: Lab, harmless: None, tmp_path: Path
) -> None:
    before = {name: item["pid"] for name, item in lab.containers("app2").items()}
    # The control: a request that meets the pause in its first 2 seconds gets no answer in time, whatever is promised.
    asked = settings(seconds=4, timeout=2, promises={"database_paused": {"failed": 0}})
    run = lab.playbook(
        CHAOS, "-e", "experiment=container_killed,database_paused", "-e", f"chaos_report={tmp_path}", *asked
    )
    assert run.error().startswith("1 promise was broken: database_paused (")
    seen = report(tmp_path)
    killed, paused = seen["container_killed"], seen["database_paused"]
    assert (killed["state"], killed["failed"]) == ("kept", 0) and killed["since"] > 50, killed
    assert paused["state"] == "broken" and paused["failed"] > 0, paused
    after = {name: item["pid"] for name, item in lab.containers("app2").items()}
    assert before.keys() == after.keys() and sum(before[name] != after[name] for name in before) == 1, "one was killed"
    assert lab.leases() == dict.fromkeys(("edge1", "app1", "app2"))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("experiment", "host", "there"),
    [
        ("network_cut_app", "app2", "nft list table inet sluice_chaos"),
        ("database_paused", "db1", "ps -o stat= -C postgres | grep T"),
        ("cpu_pressure", "app2", "pgrep stress-ng"),
        ("registry_away", "app2", "nft list table inet sluice_chaos"),
    ],
)
def test_an_experiment_is_undone_when_its_controller_was_killed(
    lab: Lab, harmless: None, experiment: str, host: str, there: str
) -> None:
    started = lab.start(CHAOS, "-e", f"experiment={experiment}", "-e", "chaos_report=", *settings(seconds=5))
    until(lambda: lab.shell(host, there), BEGINS, "it has begun")
    started.kill()
    assert started.wait().code == -signal.SIGKILL
    assert active(lab, host), "the control: it was not undone by the kill"
    # Nobody asks the host for anything from here on.
    until(lambda: not active(lab, host), 45, "the host has undone it")
    with pytest.raises(AssertionError):
        lab.shell(host, there)
    until(lambda: lab.ask("/api/accountants").status == 200, 30, "the app serves")


@pytest.mark.soak
def test_the_next_run_undoes_what_a_killed_one_left(lab: Lab, harmless: None) -> None:
    long = settings(seconds=300)
    started = lab.start(CHAOS, "-e", "experiment=dns_away", "-e", "chaos_report=", *long)
    until(lambda: lab.shell("app2", "nft list table inet sluice_chaos"), BEGINS, "it has begun")
    started.kill()
    started.wait()
    lab.playbook(CHAOS, "-e", "experiment=registry_away", "-e", "chaos_report=", *settings(seconds=1)).good()
    assert not active(lab, "app2")


@pytest.mark.soak
def test_no_deploy_runs_beside_an_experiment(lab: Lab, harmless: None) -> None:
    started = lab.start(CHAOS, "-e", "experiment=registry_away", "-e", "chaos_report=", *settings(seconds=30))
    until(lambda: lab.shell("app2", "nft list table inet sluice_chaos"), BEGINS, "it has begun")
    message = lab.deploy("v1.0.0").error()
    assert "is locked: chaos by " in message, message
    started.wait().good()


@pytest.mark.soak
def test_an_app_host_that_reboots_undrained(lab: Lab, harmless: None, tmp_path: Path) -> None:
    restarts = ["docker", "update", f"{PREFIX}-app2"]
    began = lab.shell("app2", "stat -c %Y /proc/1")
    subprocess.run([*restarts, "--restart=always"], check=True, capture_output=True)
    try:
        asked = settings(seconds=5, reboot_containers=True)
        lab.playbook(CHAOS, "-e", "experiment=host_rebooted", "-e", f"chaos_report={tmp_path}", *asked, timeout=280)
    finally:
        subprocess.run([*restarts, "--restart=no"], check=True, capture_output=True)
    print(report(tmp_path))
    assert lab.shell("app2", "stat -c %Y /proc/1") > began, "the control: it was rebooted"
    assert report(tmp_path)["host_rebooted"]["state"] == "kept"


@pytest.mark.soak
def test_a_full_disk_keeps_its_margin_and_is_emptied(lab: Lab, harmless: None, tmp_path: Path) -> None:
    place, file = "/mnt/chaos", "/mnt/chaos/.sluice-chaos-fill"
    lab.shell("app2", f"mkdir -p {place} && mount -t tmpfs -o size=64m tmpfs {place}")
    try:
        asked = settings(seconds=8, disk_path=place, disk_margin="8m")
        started = lab.start(CHAOS, "-e", "experiment=disk_full", "-e", f"chaos_report={tmp_path}", *asked)
        until(
            lambda: lab.shell("app2", f"test -e {file} && df --output=avail -BM {place} | grep -w 8M"),
            BEGINS,
            "it is full",
        )
        started.wait().good()
        assert lab.shell("app2", f"ls -A {place}") == ""
    finally:
        lab.shell("app2", f"umount {place}; rmdir {place}")
    assert report(tmp_path)["disk_full"]["state"] == "kept"


@pytest.mark.soak
def test_one_of_two_edges_goes_down(lab: Lab, harmless: None, tmp_path: Path) -> None:
    fleet, both = REPO / "scripts" / "fleet", ("-i", "tests/fleet/edges.yml")
    try:
        subprocess.run([fleet, "up", "edge2"], check=True)
        lab.deploy("v1.0.0", *both, *QUICK).good()
        lab.playbook(
            CHAOS, *both, "-e", "experiment=edge_down", "-e", f"chaos_report={tmp_path}", *settings(seconds=8)
        ).good()
    finally:
        subprocess.run([fleet, "down", "edge2"], check=True)
    seen = report(tmp_path)["edge_down"]
    assert (seen["state"], seen["host"], seen["failed"]) == ("kept", "edge1", 0), seen


@pytest.mark.soak
def test_the_game_day(lab: Lab, harmless: None, artefacts: Path) -> None:
    folder = artefacts / "chaos"
    for path in folder.glob("*"):
        path.unlink()
    run = lab.playbook(CHAOS, "-e", "experiment=all", "-e", f"chaos_report={folder}", timeout=1200).good()
    seen = report(folder)
    print(run.output)
    assert {name for name, row in seen.items() if row["state"] == "skipped"} == {
        "edge_down",
        "network_slow",
        "disk_full",
        "clock_off",
        "acme_away",
        "secret_store_away",
        "host_rebooted",
    }
    assert {row["state"] for row in seen.values()} == {"skipped", "kept"}
