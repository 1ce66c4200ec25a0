# SPDX-License-Identifier: Apache-2.0
"""Every host restarted: the app serves the same release again, its data are backed up, and nobody typed a command."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.lab import APP_HOSTS, HOSTS, PREFIX, Lab, until
from tests.support.load import Load


@pytest.mark.soak
def test_the_same_release_serves_again_after_every_host_restarted(lab: Lab, v1_0_0: str) -> None:
    before = lab.state()
    held = {host: set(lab.containers(host)) for host in APP_HOSTS}
    booted = {host: boot_time(lab, host) for host in HOSTS}
    # All at once, each by a command of its own: one command would restart them one after the other.
    restarts = [subprocess.Popen(["docker", "restart", "-t", "20", f"{PREFIX}-{host}"]) for host in HOSTS]
    assert [restart.wait(90) for restart in restarts] == [0] * len(HOSTS)

    until(lambda: set(lab.served()) == set(APP_HOSTS), 120, "both app hosts serve", pause=1)
    # The control: they did restart.
    assert all(boot_time(lab, host) > booted[host] for host in HOSTS)
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0")
    assert lab.record() == before["record"]
    assert lab.live() == v1_0_0
    assert {host: set(lab.containers(host)) for host in APP_HOSTS} == held, "the same containers"
    assert lab.ask("/api/accountants").json()["accountants"]

    # The object store takes longest to come back, and the archiver tries again once a minute.
    until(lambda: lab.on("db1", "sluice-backup", "status"), 150, "the backups are well", pause=1)

    # All is as it was for the tools, too.
    run = lab.deploy("v1.0.0").good()
    assert "already runs" in run.output
    assert run.changed() == {}


@pytest.fixture
def comes_back() -> Iterator[None]:
    """A reboot ends a lab host's container; its engine starts it again."""
    names = [f"{PREFIX}-{host}" for host in APP_HOSTS]
    subprocess.run(["docker", "update", "--restart=always", *names], check=True, capture_output=True)
    yield
    subprocess.run(["docker", "update", "--restart=no", *names], check=True, capture_output=True)


@pytest.mark.soak
def test_app_hosts_are_rebooted_one_at_a_time_while_the_app_serves(lab: Lab, v1_0_0: str, comes_back: None) -> None:
    booted = {host: boot_time(lab, host) for host in APP_HOSTS}
    with Load(lab.url, rate=80, seconds=600) as load:
        asked = ("-e", "reboot_force=true", "-e", f"reboot_host={','.join(APP_HOSTS)}")
        run = lab.playbook("playbooks/hosts/reboot", *asked, timeout=600).good()
    print(load.report)
    # The control: both did restart, the second one after the first one was back.
    first, second = (boot_time(lab, host) for host in APP_HOSTS)
    assert booted["app1"] < first < second > booted["app2"]
    assert run.output.index("playbooks/hosts/join.yml -e release_host=app1") < run.output.index(
        "playbooks/hosts/drain.yml -e release_host=app2"
    )
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0") and lab.live() == v1_0_0
    # Each drain and each join reloads Nginx, which may cost a client one request each time; a host that goes away undrained costs many more.
    assert load.report.failed <= 2 * len(APP_HOSTS), str(load.report)


def boot_time(lab: Lab, host: str) -> float:
    """When the host's first process started, in seconds of the epoch."""
    return float(lab.shell(host, "stat -c %Y /proc/1"))
