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
  - Writes the app's part of Nginx's configuration, checks all of it with C(nginx -t), reloads, and waits until only new workers take requests.
  - When Nginx rejects the configuration, or does not apply it in time, the old file is restored.
  - Two apps on one edge cannot have the same host name; the second one is refused.
  - M(sluice.stack.edge_split) decides which slot is live, without a reload.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  state:
    description: Whether the app should have a configuration here.
    type: str
    choices: [present, absent]
    default: present
  content:
    description: The configuration, as the plan rendered it. Required with O(state=present).
    type: str
  reload_seconds:
    description: How long the new workers may take to start.
    type: float
    default: 15
attributes:
  check_mode:
    description: Reports whether the configuration would change, and whether its host names conflict with another app.
    support: full
  diff_mode:
    description: Shows the configuration before and after.
    support: full
"""

EXAMPLES = r"""
- name: Configure | Write the edge's routes and upstreams
  sluice.stack.edge_config:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    content: "{{ plan.edge_config }}"
"""

RETURN = r"""
fingerprint:
  description: The fingerprint of the configuration, empty without one.
  returned: success
  type: str
  sample: 8c2f0a6d1b7e4935
seconds:
  description: Seconds of the check, the reload and the wait for the new workers.
  returned: changed
  type: float
  sample: 0.4
"""

import glob
import os
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import nginx as edge_nginx
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, sync_directory, write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.paths import EDGE_CONFIGS, STATE_ROOT
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError

# Nginx checks the files of all apps together, so only one may be changed at a time.
LOCK = os.path.join(STATE_ROOT, "edge.lock")
PID_FILE = "/run/nginx.pid"
COMMAND_SECONDS = 20


class ConfigError(Exception):
    """The configuration cannot be installed; the message has Nginx's output."""


def read(path: str) -> str:
    """Return the text of a file, empty without one."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def put(path: str, text: str) -> None:
    """Write the text to a file; remove it when the text is empty."""
    if text:
        write_atomic(path, text, mode=0o644)
    elif os.path.exists(path):
        os.unlink(path)
        sync_directory(os.path.dirname(path))


def refuse_clash(app: str, content: str) -> None:
    """Raise ConfigError when another app on this edge has the same host names."""
    others = {
        os.path.basename(path).removesuffix(".conf"): read(path)
        for path in glob.glob(os.path.join(EDGE_CONFIGS, "*.conf"))
    }
    fault = edge_nginx.clash(app, content, others)
    if fault:
        raise ConfigError(fault)


def run(*command: str) -> None:
    """Run a program; raises ConfigError with its output when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{' '.join(command)} failed: {error}") from error
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if "[notice]" not in line]
        raise ConfigError(f"{' '.join(command)} failed: {' '.join(said).strip()}")


def accepting_workers() -> set[int]:
    """Return the workers that accept connections: Nginx renames the others before they close their listening sockets."""
    master = read(PID_FILE).strip()
    found = set()
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{folder}/stat", encoding="utf-8", errors="replace") as handle:
                parent = handle.read().rpartition(")")[2].split()[1]
            with open(f"{folder}/cmdline", encoding="utf-8", errors="replace") as handle:
                title = handle.read()
        except OSError:  # ended meanwhile
            continue
        if parent == master and "worker process" in title and "shutting down" not in title:
            found.add(int(os.path.basename(folder)))
    return found


def wait_served(app: str, fingerprint: str, old: set[int], seconds: float) -> None:
    """Wait until no old worker takes new connections and the new ones run the configuration; raises ConfigError."""
    deadline = time.monotonic() + seconds
    while True:
        now = accepting_workers()
        if now and not now & old and edge_control.running_config(app) == fingerprint:
            return
        if time.monotonic() > deadline:
            raise ConfigError(
                f"Nginx was reloaded but still runs the old configuration after {seconds:g} s: see /var/log/nginx/error.log"
            )
        time.sleep(0.02)


def install(app: str, path: str, before: str, content: str, seconds: float) -> None:
    """Make Nginx run the content, or restore the old file."""
    edge_control.running_config(app)  # fail early, before anything is written, when Nginx is not running
    put(path, content and content + edge_nginx.UNSERVED)
    try:
        run("nginx", "-t", "-q")
        old = accepting_workers()
        run("systemctl", "reload", "nginx.service")
        wait_served(app, edge_nginx.fingerprint(content), old, seconds)
    except (ConfigError, edge_control.EdgeDown, edge_control.EdgeRefused):
        put(path, before)
        raise
    put(path, content)


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "content": {"type": "str"},
        "reload_seconds": {"type": "float", "default": 15},
    },
    "required_if": [("state", "present", ["content"])],
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, compare, install, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    app, content = params["app"], params["content"] if params["state"] == "present" else ""
    path = os.path.join(EDGE_CONFIGS, f"{app}.conf")
    before = read(path)
    result = {
        "changed": before != content,
        "fingerprint": edge_nginx.fingerprint(content),
        "diff": {"before": before, "after": content, "before_header": path, "after_header": path},
    }
    begin = time.monotonic()
    try:
        if content and not edge_nginx.fingerprint(content):
            raise ConfigError(
                f"the content for app {app} is not a configuration rendered by the plan: nothing was written"
            )
        refuse_clash(app, content)
        if module.check_mode or before == content:
            module.exit_json(**result)
        with Guard(app, params["run_id"], params["token"]).effect(), locked(LOCK):
            refuse_clash(app, content)
            install(app, path, before, content, params["reload_seconds"])
    except (ConfigError, LeaseError, edge_control.EdgeDown, edge_control.EdgeRefused) as error:
        module.fail_json(msg=str(error))
    module.exit_json(seconds=round(time.monotonic() - begin, 3), **result)


if __name__ == "__main__":
    main()
