# SPDX-License-Identifier: Apache-2.0
"""Workers and scheduled jobs: they follow the release once it is live, and go on as they were when they cannot."""

from __future__ import annotations

from tests.support.lab import APP_HOSTS, QUICK, Lab, until
from tests.support.workers import TICK, services, workers


def test_workers_and_jobs_follow_the_release_and_go_with_it(lab: Lab, v1_0_0: str) -> None:
    run = lab.deploy("v1.0.0", *services(TICK)).good()
    assert "workers    app2: nightly (new on this host), ticker (new on this host)" in run.output
    first = {host: workers(lab, host) for host in APP_HOSTS}
    assert [list(found.values()) for found in first.values()] == [["tick one"], ["tick one"]]
    assert "already runs" in lab.deploy("v1.0.0", *services(TICK)).good().output

    # The job is on one host, and runs what the release says.
    timers = {
        host: lab.shell(host, "systemctl list-timers --all --no-legend 'sluice-*'", check=False) for host in APP_HOSTS
    }
    assert "sluice-marketplace-nightly.timer" in timers["app2"] and timers["app1"].strip() == ""
    lab.shell("app2", "systemctl start sluice-marketplace-nightly.service")
    assert "nightly one" in lab.shell("app2", "journalctl -u sluice-marketplace-nightly.service --no-pager")

    lab.deploy("v1.0.0", *services(TICK, "two")).good()
    for host in APP_HOSTS:
        assert list(workers(lab, host).values()) == ["tick two"]
        assert not set(workers(lab, host)) & set(first[host])

    # One that dies: the release is live, the previous release runs again, and the command says so.
    before = {host: set(workers(lab, host)) for host in APP_HOSTS}
    run = lab.deploy("v1.0.0", *services("console.error('no queue'); process.exit(3)", "three"))
    message = run.error()
    assert "failed in step workers" in message and "exited with code 3" in message and "no queue" in message
    assert "The release is live, except for what failed" in message
    for host in APP_HOSTS:
        until(lambda host=host: set(workers(lab, host)) == before[host], 10, "the worker before runs again")
    assert not any(lab.leases().values())

    # Without them in the contract they are taken away.
    lab.deploy("v1.0.0", *QUICK).good()
    assert [workers(lab, host) for host in APP_HOSTS] == [{}, {}]
    assert "sluice-" not in lab.shell("app2", "systemctl list-timers --all --no-legend 'sluice-*'", check=False)
    assert not any(lab.leases().values())
