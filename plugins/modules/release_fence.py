#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Observe and fence one host of an app, in one round."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_fence
short_description: Take an app's lease on a host and observe the host
version_added: 0.1.0
description:
  - Takes the lease on the host, so that every other run is refused there until this one is done or its lease expires, and
    returns everything a plan needs to know about the host.
  - A live holder keeps its lease unless O(preempt=true). Of two runs that start together, the older one gets the lease.
  - The controller then renews the lease as long as the C(ansible-playbook) command lives, and expires it at once when that has ended,
    however it ended; see M(sluice.stack.release_lease), which also releases it.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  run:
    description: The run, as V(sluice.stack.app_contract) returns it; C(id), C(action) and C(who) are used.
    type: dict
    required: true
  state:
    description:
      - V(fenced) takes the lease and observes.
      - V(observed) only observes.
    type: str
    choices: [fenced, observed]
    default: fenced
  roles:
    description: The host's role for the app.
    type: list
    elements: str
    choices: [app, edge]
    default: []
  images:
    description: Image references to resolve to digests from this host.
    type: list
    elements: str
    default: []
  preempt:
    description: Take the lease from a live holder; that run stops at its next step.
    type: bool
    default: false
  wait_seconds:
    description: How long to retry while another run holds the lease. The controller retries, so that a killed run takes nothing.
    type: float
    default: 0
  lease_seconds:
    description: The duration of the lease unless it is renewed, in seconds.
    type: float
    default: 15
  registry_seconds:
    description: The timeout for a registry, in seconds.
    type: float
    default: 15
  ledger_lines:
    description: How many lines of the ledger to return at least; 0 for all. What decides anything is always among them.
    type: int
    default: 60
attributes:
  check_mode:
    description: In check mode the host is observed and not fenced.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Fence | Take the app on every host of it and see what is there
  sluice.stack.release_fence:
    app: marketplace
    run: "{{ contract.run }}"
    roles: [app]
    images: [registry.example.com/marketplace/backend:v1.4.2]
  register: fence
"""

RETURN = r"""
observation:
  description: The observation of the host.
  returned: success
  type: dict
  sample:
    highest: 7
    lease: {app: marketplace, highest: 7, run_id: null, left: 0.0}
    ledger: ""
    ports: {marketplace/backend/blue/0: 20000}
    listening: [22, 20000]
    containers: []
    # Of one that is not there: its size in the registry, and the layers that have to be pulled, in bytes; or size_unknown, the reason.
    images: {"registry.example.com/marketplace/backend:v1.4.2": {digest: "sha256:...", size: 31000000, layers: {"sha256:...": 1200}}}
    images_present: []
    disk_free: 70000000000
    docker_root: /var/lib/docker
    edge: {record: null, pending_alive: false, config: ""}  # and the record's age in seconds, when there is one
held:
  description: Whether the lease was not taken because another run holds it.
  returned: failure
  type: bool
"""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker import registry
from ansible_collections.sluice.stack.plugins.module_utils.docker.docker_host import (
    Engine,
    EngineError,
    has_image,
    resolve_digest,
)
from ansible_collections.sluice.stack.plugins.module_utils.docker.observe import app_host, edge_host, every_host
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import (
    Guard,
    LeaseError,
    LeaseHeld,
    host_now,
)
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import pinned

# Sizes are optional: do not wait long for them.
SIZE_SECONDS = 3.0


def push(record: dict[str, Any] | None) -> None:
    """Make Nginx use the record of the file, which the plan relies on.

    A run that died between writing the file and updating Nginx left them different. An edge that is down fails later, at the flip.
    """
    if record is not None:
        with contextlib.suppress(edge_control.EdgeDown, edge_control.EdgeRefused):
            edge_control.hold(record)


def image_of(engine: Engine, reference: str, seconds: float) -> dict[str, Any]:
    """Return the digest of a reference, and the image's size when this host lacks it."""
    found = resolve_digest(engine, reference, seconds)
    if "digest" not in found:
        return {**found}
    image = pinned(reference, found["digest"])
    return {**found, **({} if has_image(engine, image) else registry.sizes(engine, image, min(seconds, SIZE_SECONDS)))}


ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "run": {"type": "dict", "required": True},
        "state": {"type": "str", "choices": ["fenced", "observed"], "default": "fenced"},
        "roles": {"type": "list", "elements": "str", "choices": ["app", "edge"], "default": []},
        "images": {"type": "list", "elements": "str", "default": []},
        "preempt": {"type": "bool", "default": False},
        "wait_seconds": {"type": "float", "default": 0},
        "lease_seconds": {"type": "float", "default": 15},
        "registry_seconds": {"type": "float", "default": 15},
        "ledger_lines": {"type": "int", "default": 60},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, fence, observe, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    before, fenced = None, 0.0
    app, run, roles = params["app"], params["run"], params["roles"]
    guard = Guard(app, run["id"])
    fence = params["state"] == "fenced" and not module.check_mode
    try:
        if fence:
            before = guard.fence(
                action=run["action"],
                who=run["who"],
                begun=run["started"],
                ttl=params["lease_seconds"],
                preempt=params["preempt"],
            )
            fenced = time.monotonic()
        observation = every_host(app, params["ledger_lines"])
        # The run that lost its lease to this one, for the ledgers.
        taken = before is not None and before.alive(host_now()) and before.run_id != run["id"]
        observation["superseded"] = [before.run_id] if before and taken else []
        if "edge" in roles:
            observation["edge"] = edge_host(app, time.time())
            if fence:
                push(observation["edge"]["record"])
        if "app" in roles:
            engine = Engine()
            look: list[Callable[[], Any]] = [
                lambda: app_host(app, engine, run["action"]),
                *(partial(image_of, engine, image, params["registry_seconds"]) for image in params["images"]),
            ]
            found, *digests = together(lambda one: one(), look)
            observation |= {**found, "images": dict(zip(params["images"], digests, strict=True))}
        if fence and time.monotonic() - fenced > params["lease_seconds"] / 3:
            guard.renew(params["lease_seconds"])  # a registry may have hung; from here on the controller renews
    except (LeaseError, EngineError) as error:
        if fence and not isinstance(error, LeaseError):
            guard.release()
        module.fail_json(msg=str(error), held=isinstance(error, LeaseHeld))
    # Taking the lease is no change: it is released or expires automatically, and nothing live is touched.
    module.exit_json(changed=False, observation=observation)


if __name__ == "__main__":
    main()
