# SPDX-License-Identifier: Apache-2.0
"""A worker and a job alongside the reference app, and what runs of them."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.support.lab import APP, INVENTORY, QUICK, Lab
from tests.support.playbook import REPO

TICK = "console.log('tick ' + process.env.BANNER); setInterval(() => console.log('tick'), 1000)"


def services(worker: str, banner: str = "one", grace: int = 1) -> tuple[str, ...]:
    """The inventory's services with a worker on every host and a job on one, as options of a deploy."""
    text = (REPO / INVENTORY / "group_vars" / "all" / "app.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["app_services"]
    image = found["backend"]["image"]
    found["ticker"] = {
        "image": image,
        "command": ["node", "-e", worker],
        "env": {"BANNER": banner},
        "stop_grace": grace,
    }
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
