# SPDX-License-Identifier: Apache-2.0
"""Every host restarted: the app serves the same release again, its data are backed up, and nobody typed a command."""

from __future__ import annotations

import subprocess

from tests.support.lab import APP_HOSTS, HOSTS, PREFIX, Lab, until


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


def boot_time(lab: Lab, host: str) -> float:
    """When the host's first process started, in seconds of the epoch."""
    return float(lab.shell(host, "stat -c %Y /proc/1"))
