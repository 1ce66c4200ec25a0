#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The log of a service on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_logs
short_description: Return the newest log lines of a service's containers on a host
version_added: 0.1.0
description:
  - Returns the lines of every container of the service on the host, old and new release, with their time.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  service:
    description: Name of the service; empty for all services.
    type: str
    default: ""
  lines:
    description: How many lines of each container.
    type: int
    default: 100
  since:
    description: Only lines of the last seconds; V(0) is all.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Logs | Read the backend's newest lines
  sluice.stack.release_logs:
    app: marketplace
    service: backend
"""

RETURN = r"""
lines:
  description: Lines in the order of time.
  returned: success
  type: list
  elements: dict
  sample: [{time: "2026-11-22T23:15:00.1Z", container: marketplace-backend-20261122T231500Z-v1.4.2-0, text: listening}]
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine


def read(engine: Engine, params: dict[str, Any]) -> list[dict[str, str]]:
    """Return the lines of every container, merged by time."""
    since = {"since": int(time.time()) - params["since"]} if params["since"] else {}
    found = []
    app = params["app"]
    for item in [*docker_host.app_containers(engine, app), *docker_host.worker_containers(engine, app)]:
        if params["service"] in ("", item["service"]):
            raw = engine.logs(item["id"], timestamps="true", tail=params["lines"], **since)
            for line in raw.splitlines():
                moment, _unused, text = line.partition(" ")
                found.append({"time": moment, "container": item["name"], "text": text})
    return sorted(found, key=lambda line: line["time"])


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "service": {"type": "str", "default": ""},
        "lines": {"type": "int", "default": 100},
        "since": {"type": "int", "default": 0},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, read, exit."""
    module = AnsibleModule(**ARGUMENTS)
    try:
        module.exit_json(changed=False, lines=read(Engine(), module.params))
    except docker_host.EngineError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
