#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""An app's routes and upstreams on one edge."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: edge_config
short_description: Install an app's routes and upstreams on an edge
version_added: 0.1.0
description:
  - Writes the app's part of Nginx's configuration, has Nginx check all of it, reloads, and waits until the new workers serve it.
  - When Nginx refuses the configuration the old one is put back, and nothing was reloaded.
  - Which slot is served is not decided here; that is M(sluice.stack.edge_split), without a reload.
author: Sluice maintainers (@sluice-stack)
options:
  app:
    description: Name of the app.
    type: str
    required: true
  run_id:
    description: Id of the run.
    type: str
    required: true
  token:
    description: The run's fencing token.
    type: int
    required: true
  content:
    description: The configuration, as the plan rendered it.
    type: str
    required: true
  reload_seconds:
    description: How long the new workers may take to come up.
    type: float
    default: 15
  lease_seconds:
    description: What this step adds to the lease beyond the time it may take itself.
    type: float
    default: 60
attributes:
  check_mode:
    description: Reports whether the configuration would change.
    support: full
  diff_mode:
    description: Shows the configuration before and after.
    support: full
"""

EXAMPLES = r"""
- name: configure | Write the edge's routes and upstreams
  sluice.stack.edge_config:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    content: "{{ plan.edge_config }}"
"""

RETURN = r"""
fingerprint:
  description: The fingerprint of the configuration.
  returned: success
  type: str
"""

import glob
import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import edge_control, edge_nginx
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.guard import Guard, LeaseError
from ansible_collections.sluice.stack.plugins.module_utils.observe import EDGE_CONFIGS


class ConfigError(Exception):
    """The configuration cannot be installed; the message has Nginx's own words."""


def read(path: str) -> str:
    """The text of a file, empty when there is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def refuse_clash(app: str, content: str) -> None:
    """Refuse host names another app on this edge answers to: Nginx would take one of them and only warn."""
    wanted = edge_nginx.claims(content)
    for path in sorted(glob.glob(os.path.join(EDGE_CONFIGS, "*.conf"))):
        other = os.path.basename(path).removesuffix(".conf")
        shared = sorted(wanted & edge_nginx.claims(read(path))) if other != app else []
        if shared:
            name = "requests for any host name" if shared[0] == "_" else f"host {shared[0]}"
            raise ConfigError(f"app {app} wants {name}, which app {other} has on this edge: give one of them another app_routes[].host")


def run(*command: str) -> None:
    """Run a program; raises ConfigError with what it said when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")


def wait_served(app: str, fingerprint: str, seconds: float) -> None:
    """Wait until the workers that take new connections run the configuration; raises ConfigError."""
    deadline = time.monotonic() + seconds
    matches = 0
    while matches < 3:  # old workers stop accepting one by one
        answer = edge_control.call("GET", f"/config/{app}")
        matches = matches + 1 if answer["fingerprint"] == fingerprint else 0
        if time.monotonic() > deadline:
            raise ConfigError(f"Nginx was reloaded and after {seconds:g} s still serves the old configuration: see its error log")
        time.sleep(0.05)


def install(path: str, before: str, content: str) -> None:
    """Put the file in place, or the old one back when Nginx refuses it."""
    write_atomic(path, content, mode=0o644)
    try:
        run("nginx", "-t", "-q")
    except ConfigError:
        if before:
            write_atomic(path, before, mode=0o644)
        else:
            os.unlink(path)
        raise
    run("systemctl", "reload", "nginx")


def main() -> None:
    """Parse, compare, install, exit."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "run_id": {"type": "str", "required": True},
            "token": {"type": "int", "required": True, "no_log": False},
            "content": {"type": "str", "required": True},
            "reload_seconds": {"type": "float", "default": 15},
            "lease_seconds": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    app, content = params["app"], params["content"]
    path = os.path.join(EDGE_CONFIGS, f"{app}.conf")
    before, fingerprint = read(path), edge_nginx.fingerprint(content)
    result = {
        "changed": before != content,
        "fingerprint": fingerprint,
        "diff": {"before": before, "after": content, "before_header": path, "after_header": path},
    }
    if module.check_mode or before == content:
        module.exit_json(**result)
    try:
        with Guard(app, params["run_id"], params["token"]).effect(extend=params["reload_seconds"] + params["lease_seconds"]):
            refuse_clash(app, content)
            install(path, before, content)
        wait_served(app, fingerprint, params["reload_seconds"])
    except (ConfigError, LeaseError, edge_control.EdgeDown, edge_control.EdgeRefused) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
