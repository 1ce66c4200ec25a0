#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""One slot of one app host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_slot
short_description: Start a release in a slot of an app host
version_added: 0.1.0
description:
  - Pulls the release's images by digest, clears the slot of any other release, starts what is missing and waits until every container is
    healthy. A container that dies while it starts fails the step at once, with its exit code and log.
  - Checks before each effect that the run still holds the lease on this host.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run, sluice.stack.outcome]
options:
  slot:
    description: The slot.
    type: str
    choices: [blue, green]
    required: true
  manifest:
    description: The release.
    type: dict
    required: true
  services:
    description: The release's services on this host, including workers and jobs.
    type: list
    elements: str
    required: true
  address:
    description: The host's private address, where the slot's ports are published.
    type: str
    required: true
  secrets:
    description: The current values of the app's secrets, by name.
    type: dict
    default: {}
  flag_events:
    description: What was switched on any host, as M(sluice.stack.flag_switch) returns it; a host that was away or is new learns it before it starts.
    type: list
    elements: dict
    default: []
  features:
    description: What Unleash told other hosts, for one that it told nothing.
    type: list
    elements: str
    default: []
  pull_seconds:
    description: How long pulling may take.
    type: float
    default: 300
  drain_seconds:
    description: How long to wait for open connections before containers are stopped.
    type: float
    default: 30
attributes:
  check_mode:
    description: Reports whether the slot would change.
    support: full
  diff_mode:
    description: There is nothing to show; the plan shows it.
    support: none
"""

EXAMPLES = r"""
- name: Start | Bring the release up in the idle slot
  sluice.stack.release_slot:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    slot: green
    manifest: "{{ plan.manifest }}"
    services: [backend, frontend]
    address: 10.0.0.21
    secrets: "{{ app_secrets }}"
"""

RETURN = r"""
pulled:
  description: Images that were pulled.
  returned: success
  type: list
  elements: str
discarded:
  description: Containers of other releases, or dead ones, that were removed from the slot.
  returned: success
  type: list
  elements: str
started:
  description: Containers that were started.
  returned: success
  type: list
  elements: str
built:
  description: The commit that each service's image was built from, and when it was built, as far as its labels tell.
  returned: success
  type: dict
  sample: {backend: {revision: 0f3c2d1, created: "2026-11-22T22:58:11Z"}}
seconds:
  description: How long each part took.
  returned: success
  type: dict
  sample: {pull: 1.2, start: 0.4, healthy: 0.9}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, slot, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.flags import switches
from ansible_collections.sluice.stack.plugins.module_utils.paths import STATE_ROOT, ledger_file, ports_file
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger, ports, secret_store
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import (
    OUTCOME_ARGUMENTS,
    RUN_ARGUMENTS,
    Guard,
    LeaseError,
)


def record_ports(manifest: dict[str, Any]) -> None:
    """Record the release's ports on this host, so that no other app ever gets them; raises SlotError on a conflict."""
    wanted = ports.records(manifest["app"], manifest["ports"])
    with locked(os.path.join(STATE_ROOT, "ports.lock")):
        recorded = read_json(ports_file(), {})
        fault = ports.clash(recorded, wanted)
        if fault:
            raise slot.SlotError(fault)
        if not wanted.items() <= recorded.items():
            write_json(ports_file(), {**recorded, **wanted})


def present(params: dict[str, Any], guard: Guard, engine: Engine) -> dict[str, Any]:
    """Start the release; returns what was done."""
    manifest = params["manifest"]
    values = secret_store.values_for(manifest, params["secrets"], guard.folder)
    with guard.effect():
        ledger.append(ledger_file(guard.app), params["entries"])
        record_ports(manifest)
        secret_store.keep(manifest, values, guard.folder)
        switches.learn(guard.app, params["flag_events"], params["features"])
    done = slot.prepare(
        engine,
        guard,
        slot.Part(manifest, params["slot"], params["services"], params["address"]),
        values,
        pull_seconds=params["pull_seconds"],
        drain_seconds=params["drain_seconds"],
    )
    images = {name: manifest["services"][name]["image"] for name in params["services"]}
    built = {name: docker_host.origin(engine, image) for name, image in images.items()}
    return {**done, "built": built, "changed": bool(done["started"] or done["discarded"] or done["pulled"])}


FAULTS = (
    LeaseError,
    docker_host.EngineError,
    slot.SlotError,
    workers.WorkersError,
    secret_store.SecretMissing,
)
ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        **OUTCOME_ARGUMENTS,
        "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
        "manifest": {"type": "dict", "required": True},
        "services": {"type": "list", "elements": "str", "required": True},
        "address": {"type": "str", "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "flag_events": {"type": "list", "elements": "dict", "default": []},
        "features": {"type": "list", "elements": "str", "default": []},
        "pull_seconds": {"type": "float", "default": 300},
        "drain_seconds": {"type": "float", "default": 30},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, observe, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    guard = Guard(params["app"], params["run_id"], params["token"])
    try:
        engine = Engine()
        if module.check_mode:
            held = docker_host.app_containers(engine, params["app"])
            mine = [item for item in held if item["slot"] == params["slot"] and item["state"] == "running"]
            module.exit_json(changed=not any(item["release"] == params["manifest"]["id"] for item in mine))
        result = present(params, guard, engine)
        guard.finish([], release_lease=params["release_lease"])
    except FAULTS as error:
        module.fail_json(msg=guard.cause(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
