#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Whether an app host takes part."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_host
short_description: Take an app host out of an app's rotation, or bring it back
version_added: 0.1.0
description:
  - Use V(drained) once no edge sends the host requests. It is recorded on the host, so that no later release brings the host back
    before it joins; then the module waits for open requests.
  - V(joined) removes the record; use it before an edge sends the host requests.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  state:
    description: The desired state of the host.
    type: str
    choices: [joined, drained]
    required: true
  drain_seconds:
    description: How long to wait for open connections.
    type: float
    default: 30
  flag_events:
    description: What was switched on any host, as M(sluice.stack.flag_switch) returns it; a host that joins learns it before it gets requests.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Reports whether the host would change.
    support: full
  diff_mode:
    description: There is nothing to show; the plan shows it.
    support: none
"""

EXAMPLES = r"""
- name: Drain | Finish what it has
  sluice.stack.release_host:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    state: drained
"""

RETURN = r"""
changed:
  description: Whether the host was taken out of rotation, or brought back; not if it already was.
  returned: success
  type: bool
  sample: true
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, retire, slot
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.flags import switches
from ansible_collections.sluice.stack.plugins.module_utils.paths import drained_file
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "state": {"type": "str", "choices": ["joined", "drained"], "required": True},
        "drain_seconds": {"type": "float", "default": 30},
        "flag_events": {"type": "list", "elements": "dict", "default": []},
    },
    "supports_check_mode": True,
}


def apply(params: dict[str, Any], guard: Guard) -> None:
    """Write or remove the record, and wait for open requests."""
    path = drained_file(params["app"])
    with guard.effect():
        if params["state"] == "drained":
            write_atomic(path, "")
        else:
            switches.learn(guard.app, params["flag_events"], [])
            if os.path.exists(path):
                os.unlink(path)
    if params["state"] == "drained":
        engine = Engine()
        held = docker_host.app_containers(engine, params["app"])
        retire.wait_idle(lambda: slot.any_busy(engine, held), params["drain_seconds"])


def main() -> None:
    """Parse, observe, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    changed = os.path.exists(drained_file(params["app"])) != (params["state"] == "drained")
    try:
        if not module.check_mode:
            apply(params, Guard(params["app"], params["run_id"], params["token"]))
    except (LeaseError, EngineError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
