#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""One slot of one app host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_slot
short_description: Bring a release up in a slot of an app host, or empty the slot
version_added: 0.1.0
description:
  - With O(state=present), pulls the release's images by digest, clears the slot of any other release, starts what is missing and waits
    until every container is healthy. A container that dies while it starts fails the step at once, with its exit code and log.
  - With O(state=absent), waits until the release in the slot has no open connections or O(drain_seconds) are over, then stops and
    removes its containers. A slot that holds another release by then is left alone.
  - Proves before each effect that the run still owns the app on this host.
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
  state:
    description: What the slot shall be.
    type: str
    choices: [present, absent]
    default: present
  slot:
    description: The slot.
    type: str
    choices: [blue, green]
    required: true
  manifest:
    description: The release. With O(state=absent) only C(id) and C(services) matter.
    type: dict
    required: true
  address:
    description: The host's private address, where the slot's ports are published. Required with O(state=present).
    type: str
  secrets:
    description: Today's values of the app's secrets, by name.
    type: dict
    default: {}
  entries:
    description: Ledger entries to write before the first effect.
    type: list
    elements: dict
    default: []
  pull_seconds:
    description: How long pulling may take.
    type: float
    default: 300
  drain_seconds:
    description: How long open connections are waited for before containers are stopped.
    type: float
    default: 30
  lease_seconds:
    description: What each effect adds to the lease beyond the time it may take itself.
    type: float
    default: 60
  release_lease:
    description: Give the app back on this host afterwards.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports whether the slot would change.
    support: full
  diff_mode:
    description: There is nothing to show; the plan shows it.
    support: none
"""

EXAMPLES = r"""
- name: start | Bring the release up in the idle slot
  sluice.stack.release_slot:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    slot: green
    manifest: "{{ plan.manifest }}"
    address: 10.0.0.21
    secrets: "{{ app_secrets }}"
"""

RETURN = r"""
pulled:
  description: Images that were pulled.
  returned: when O(state=present)
  type: list
  elements: str
discarded:
  description: Containers of other releases, or dead ones, that were removed from the slot.
  returned: always
  type: list
  elements: str
started:
  description: Containers that were started.
  returned: when O(state=present)
  type: list
  elements: str
seconds:
  description: How long each part took.
  returned: when O(state=present)
  type: dict
  sample: {pull: 1.2, start: 0.4, healthy: 0.9}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import docker_host, ledger, ports, secret_store, slot
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.guard import STATE_ROOT, Guard, LeaseError
from ansible_collections.sluice.stack.plugins.module_utils.observe import ports_file


def record_ports(manifest: dict[str, Any]) -> None:
    """Record the release's ports on this host, so that no other app is ever given them; raises SlotError on a clash."""
    wanted = ports.records(manifest["app"], manifest["ports"])
    with locked(os.path.join(STATE_ROOT, "ports.lock")):
        recorded = read_json(ports_file(), {})
        fault = ports.clash(recorded, wanted)
        if fault:
            raise slot.SlotError(fault)
        if not wanted.items() <= recorded.items():
            write_json(ports_file(), {**recorded, **wanted})


def present(params: dict[str, Any], guard: Guard, client: Any) -> dict[str, Any]:
    """Bring the release up; returns what was done."""
    manifest = params["manifest"]
    values = secret_store.values_for(manifest, params["secrets"], guard.folder)
    with guard.effect(extend=params["lease_seconds"]):
        ledger.append(os.path.join(guard.folder, "ledger.jsonl"), params["entries"])
        record_ports(manifest)
        secret_store.keep(manifest, values, guard.folder)
    done = slot.prepare(
        client,
        guard,
        manifest,
        params["slot"],
        params["address"],
        values,
        pull_seconds=params["pull_seconds"],
        drain_seconds=params["drain_seconds"],
        lease_seconds=params["lease_seconds"],
    )
    return {**done, "changed": bool(done["started"] or done["discarded"] or done["pulled"])}


def absent(params: dict[str, Any], guard: Guard, client: Any, held: list[dict[str, Any]]) -> dict[str, Any]:
    """Empty the slot of the release; returns what was done."""
    if held:
        slot.empty(
            client,
            guard,
            params["manifest"],
            held,
            drain_seconds=params["drain_seconds"],
            lease_seconds=params["lease_seconds"],
        )
    return {"changed": bool(held), "discarded": [item["name"] for item in held]}


def main() -> None:
    """Parse, observe, apply, exit."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "run_id": {"type": "str", "required": True},
            "token": {"type": "int", "required": True, "no_log": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
            "manifest": {"type": "dict", "required": True},
            "address": {"type": "str"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "entries": {"type": "list", "elements": "dict", "default": []},
            "pull_seconds": {"type": "float", "default": 300},
            "drain_seconds": {"type": "float", "default": 30},
            "lease_seconds": {"type": "float", "default": 60},
            "release_lease": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["address"])],
        supports_check_mode=True,
    )
    params = module.params
    guard = Guard(params["app"], params["run_id"], params["token"])
    try:
        client = docker_host.connect(timeout=max(60, params["drain_seconds"] + 60))
        held = [
            item
            for item in docker_host.app_containers(client, params["app"])
            if item["slot"] == params["slot"] and item["release"] == params["manifest"]["id"]
        ]
        if module.check_mode:
            running = [item for item in held if item["state"] == "running"]
            module.exit_json(changed=bool(held) if params["state"] == "absent" else not running)
        result = present(params, guard, client) if params["state"] == "present" else absent(params, guard, client, held)
        if params["release_lease"]:
            guard.release()
    except (LeaseError, docker_host.EngineError, slot.SlotError, secret_store.SecretMissing) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
