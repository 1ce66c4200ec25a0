#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Renew, expire, release or break a run's lease on an app."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_lease
short_description: Renew, expire, release or break the lease of a run on a host
version_added: 0.1.0
description:
  - M(sluice.stack.release_fence) takes a lease. It is short, and renewed by the controller as long as the run lives.
  - The lease of another run is never changed.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  run_id:
    description: Id of the run.
    type: str
    required: true
  state:
    description:
      - V(renewed) renews the lease for O(lease_seconds) from now.
      - V(expired) lets other runs take the lease at once, and keeps the run on record until one does. For a run that ended without
        releasing its lease, and may have left work unfinished.
      - V(released) releases the lease.
      - V(broken) takes the lease from the run, even a live one; it changes nothing more on this host.
    type: str
    choices: [renewed, expired, released, broken]
    required: true
  lease_seconds:
    description: The duration of the lease, in seconds.
    type: float
    default: 15
  completed:
    description:
      - With O(state=released), whether the run changed the app and did all that it planned. On a host where it changed nothing, the lease that it
        took from an earlier run is then not restored, since that run must not continue.
    type: bool
    default: false
attributes:
  check_mode:
    description: Nothing is written in check mode.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Release lease | Release the lease
  sluice.stack.release_lease:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    state: released
"""

RETURN = r"""
owned:
  description: Whether the run holds the lease, or, with V(renewed), may get it back from a run that has changed nothing yet.
  returned: O(state) is V(renewed) or V(expired)
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, LeaseLost

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "run_id": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["renewed", "expired", "released", "broken"], "required": True},
        "lease_seconds": {"type": "float", "default": 15},
        "completed": {"type": "bool", "default": False},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, change the lease, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    guard = Guard(params["app"], params["run_id"])
    result: dict[str, Any] = {"owned": True} if params["state"] == "renewed" else {}
    if not module.check_mode:
        match params["state"]:
            case "renewed":
                try:
                    guard.renew(params["lease_seconds"])
                except LeaseLost:
                    result = {"owned": False}
            case "expired":
                result = {"owned": guard.expire()}
            case "released":
                guard.release(completed=params["completed"])
            case _unused:
                guard.break_lease()
    # The lease is no change: nothing live is touched.
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
