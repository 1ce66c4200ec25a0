# SPDX-License-Identifier: Apache-2.0
"""Workers and scheduled jobs: they follow the release once it is live, and go on as they were when they cannot."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.support.lab import APP, APP_HOSTS, INVENTORY, QUICK, Lab, until
from tests.support.playbook import REPO

TICK = "console.log('tick ' + process.env.BANNER); setInterval(() => console.log('tick'), 1000)"


def services(worker: str, banner: str = "one") -> tuple[str, ...]:
    """The inventory's services with a worker on every host and a job on one, as options of a deploy."""
    text = (REPO / INVENTORY / "group_vars" / "all" / "app.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["app_services"]
    image = found["backend"]["image"]
    found["ticker"] = {"image": image, "command": ["node", "-e", worker], "env": {"BANNER": banner}, "stop_grace": 1}
    found["nightly"] = {
        "image": image,
        "command": ["node", "-e", f"console.log('nightly {banner}')"],
        "schedule": "*-*-* 03:00",
        "hosts": ["app2"],
    }
    return (*QUICK, "-e", json.dumps({"app_services": found}))


def workers(lab: Lab, host: str) -> dict[str, str]:
    """The running containers of the worker on a host, and what they printed first."""
    label = f"label=stack.sluice.app={APP}"
    names = lab.on(
        host,
        "docker",
        "ps",
        "--format",
        "{{.Names}}",
        "--filter",
        label,
        "--filter",
        "label=stack.sluice.workers=ticker",
    ).split()
    return {name: lab.shell(host, f"docker logs {name} 2>&1 | head -1").strip() for name in names}


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
