#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Remove an app from one host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_remove
short_description: List what a host has of an app, and remove it
version_added: 0.1.0
description:
  - Removes the app's containers of both slots, its workers, jobs and networks, the images that no other app uses, its ports, its
    configuration and record on an edge, its stored secrets and its ledger. Other apps on the host keep theirs.
  - Edges stop serving the app with V(unserved) before its containers go with V(absent).
  - Databases are never touched.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  state:
    description:
      - V(listed) changes nothing.
      - V(unserved) removes the configuration, with one reload of Nginx, and the record of an edge.
      - V(absent) removes everything else. The host forgets the app, its lease included.
    type: str
    choices: [listed, unserved, absent]
    required: true
  roles:
    description: What the host is to the app.
    type: list
    elements: str
    choices: [app, edge]
    default: []
  remove_data:
    description: Whether the history of the app goes too. Otherwise the ledger is kept in C(/var/lib/sluice/removed).
    type: bool
    default: false
  reload_seconds:
    description: How long Nginx's new workers may take to come up.
    type: float
    default: 15
attributes:
  check_mode:
    description: Lists what would be removed.
    support: full
  diff_mode:
    description: There is nothing to show; the list is returned.
    support: none
"""

EXAMPLES = r"""
- name: Remove | Remove the app from the host
  sluice.stack.app_remove:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ token }}"
    state: absent
    roles: [app]
"""

RETURN = r"""
found:
  description: What the host has of the app, before anything is removed; kinds with nothing are left out.
  returned: success
  type: dict
  sample:
    containers: [marketplace-backend-20261122T231500Z-v1.4.2-green-0]
    jobs: [report]
    networks: [sluice-marketplace-blue, sluice-marketplace-green]
    images: ["registry.example.com/marketplace/backend@sha256:..."]
    ports: [20815, 20816]
    edge: [routes and upstreams, record]
    state: [ledger.jsonl, lease.json, secrets]
notes:
  description: What could not be removed and does no harm.
  returned: success
  type: list
  elements: str
"""

import contextlib
import glob
import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import removal, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import install as edge_install
from ansible_collections.sluice.stack.plugins.module_utils.edge import records
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, sync_directory, write_json
from ansible_collections.sluice.stack.plugins.module_utils.paths import (
    EDGE_CONFIGS,
    STATE_ROOT,
    ledger_file,
    ports_file,
    removed_ledger,
)
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger, ports
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "state": {"type": "str", "choices": ["listed", "unserved", "absent"], "required": True},
        "roles": {"type": "list", "elements": "str", "choices": ["app", "edge"], "default": []},
        "remove_data": {"type": "bool", "default": False},
        "reload_seconds": {"type": "float", "default": 15},
    },
    "supports_check_mode": True,
}
FAULTS = (
    LeaseError,
    EngineError,
    workers.WorkersError,
    edge_install.ConfigError,
    edge_control.EdgeDown,
    edge_control.EdgeRefused,
)
Found = dict[str, list[Any]]


def configuration(app: str) -> str:
    """Where an edge has the app's routes and upstreams."""
    return os.path.join(EDGE_CONFIGS, f"{app}.conf")


def ledgers() -> dict[str, list[ledger.Entry]]:
    """The ledgers of all apps on this host."""
    return {
        path.split(os.sep)[-2]: ledger.read(path)
        for path in glob.glob(os.path.join(STATE_ROOT, "apps", "*", "ledger.jsonl"))
    }


def listed(app: str, roles: list[str], folder: str, held: removal.Holdings | None) -> Found:
    """What there is of the app, by kind."""
    kept = os.listdir(folder) if os.path.isdir(folder) else []
    edge = {"routes and upstreams": configuration(app), "record": records.file(app)} if "edge" in roles else {}
    found: Found = {
        "containers": sorted(held.containers.values()) if held else [],
        "jobs": list(held.jobs) if held else [],
        "networks": list(held.networks) if held else [],
        "images": list(held.images) if held else [],
        "ports": sorted(ports.of_app(read_json(ports_file(), {}), app).values()) if held else [],
        "edge": [what for what, path in edge.items() if os.path.exists(path)],
        "state": sorted(name for name in kept if not name.endswith("lock") and name != "lease.json"),
    }
    return {kind: items for kind, items in found.items() if items}


def unserve(app: str, guard: Guard, seconds: float) -> None:
    """Have Nginx know nothing of the app: its configuration first, which is what sends requests to it."""
    with guard.effect():
        path = configuration(app)
        before = edge_install.read(path)
        if before:
            with locked(edge_install.LOCK):
                edge_install.install(app, path, before, "", seconds)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(records.file(app))
            sync_directory(os.path.dirname(records.file(app)))
        edge_control.forget(app)


def forget_ports(app: str) -> None:
    """Let other apps have the app's ports."""
    with locked(os.path.join(STATE_ROOT, "ports.lock")):
        recorded = read_json(ports_file(), {})
        mine = ports.of_app(recorded, app)
        if mine:
            write_json(ports_file(), {name: port for name, port in recorded.items() if name not in mine})


def forget(app: str, folder: str, remove_data: bool) -> None:
    """Remove what the host knows of the app; its history is archived, or removed with ``remove_data``."""
    aside = removed_ledger(app)
    if remove_data:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
    else:
        ledger.keep_aside(ledger_file(app), aside)
    shutil.rmtree(folder, ignore_errors=True)


def remove(params: dict[str, Any], guard: Guard, engine: Engine | None) -> list[str]:
    """Remove the app; what stays of it."""
    left: list[str] = []
    if engine:
        # A run that was switching workers ends first, and restores what ran before.
        with guard.turn("workers"):
            held = removal.find(engine, params["app"], ledgers(), workers.UNITS)
            with guard.effect():
                removal.condemn(engine, params["app"], held)
            removal.stop(engine, held)
    with guard.effect():
        if engine:
            left = removal.clear(engine, held)
            forget_ports(params["app"])
        forget(params["app"], guard.folder, params["remove_data"])
    return [f"image {image} is in use and stays" for image in left]


def main() -> None:
    """Parse, observe, remove, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    app, roles, state = params["app"], params["roles"], params["state"]
    guard = Guard(app, params["run_id"], params["token"])
    notes: list[str] = []
    try:
        engine = Engine() if "app" in roles else None
        held = removal.find(engine, app, ledgers(), workers.UNITS) if engine else None
        found = listed(app, roles, guard.folder, held)
        if state != "listed" and not module.check_mode:
            if "edge" in roles and (state == "unserved" or "edge" in found):
                unserve(app, guard, params["reload_seconds"])
            if state == "absent":
                notes = remove(params, guard, engine)
    except FAULTS as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=state != "listed" and bool(found), found=found, notes=notes)


if __name__ == "__main__":
    main()
