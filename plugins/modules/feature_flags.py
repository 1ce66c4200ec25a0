#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The feature flags of an app in Unleash."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: feature_flags
short_description: Make the flags of one environment in Unleash those of the inventory
version_added: 0.2.0
description:
  - Compares all flags of a project with O(flags) in one request, and changes what differs. Flags that are not in O(flags) are listed, and stay.
  - Finds what was changed in Unleash by hand, and flags whose time is over.
  - Unleash has no fields for owner and expiry, and none that says where a flag comes from. They are kept as tags.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.unleash]
options:
  token:
    description: An admin token.
    type: str
    required: true
  flags:
    description: The flags, C(flags) of the contract.
    type: dict
    required: true
  killed:
    description: Flags that are switched off on the app's hosts; they are off in Unleash, too.
    type: list
    elements: str
    default: []
  in_code:
    description: Flags that services ask for, C(flags_in_code) of the contract; none where no service says.
    type: list
    elements: str
    default: []
  archive:
    description: Archive flags that came from an inventory and are in it no more.
    type: bool
    default: false
  only_killed:
    description: Only switch O(killed) off, and leave everything else as it is.
    type: bool
    default: false
attributes:
  check_mode:
    description: Nothing is changed; reports what would be.
    support: full
  diff_mode:
    description: Shows the differences before, one line each, and none after.
    support: full
"""

EXAMPLES = r"""
- name: Flags | Make Unleash say what the inventory says
  sluice.stack.feature_flags:
    url: https://flags.example.com
    token: "{{ vault_unleash_admin_token }}"
    environment: production
    flags: "{{ contract.flags }}"
    in_code: "{{ contract.flags_in_code }}"
  run_once: true
"""

RETURN = r"""
drift:
  description: Each difference between Unleash and the inventory, as it was before.
  returned: success
  type: list
  elements: str
  sample: ["new-payment-flow: 50 % by userId → 10 % by userId"]
stale:
  description: Flags whose time is over.
  returned: success
  type: list
  elements: str
left_over:
  description: Flags that came from an inventory and are in it no more.
  returned: success
  type: list
  elements: str
unmanaged:
  description: Flags that somebody made in Unleash.
  returned: success
  type: list
  elements: str
steps:
  description: What was done, or would be, in order.
  returned: success
  type: list
  elements: dict
export:
  description: All flags as Unleash had them, in the shape of C(app_flags), and what of each that shape cannot say.
  returned: success
  type: dict
  contains:
    app_flags:
      description: By name.
      type: dict
    not_said:
      description: Lines by name.
      type: dict
"""

from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.flags import plan, shape
from ansible_collections.sluice.stack.plugins.module_utils.flags.unleash import UNLEASH_ARGUMENTS, Unleash, UnleashError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **UNLEASH_ARGUMENTS,
        "token": {"type": "str", "required": True, "no_log": True},
        "flags": {"type": "dict", "required": True},
        "killed": {"type": "list", "elements": "str", "default": []},
        "in_code": {"type": "list", "elements": "str", "default": []},
        "archive": {"type": "bool", "default": False},
        "only_killed": {"type": "bool", "default": False},
    },
    "supports_check_mode": True,
}


def exported(observed: dict[str, shape.Flag]) -> dict[str, Any]:
    """Return all flags in the inventory's shape."""
    given = {name: shape.for_the_inventory(name, flag) for name, flag in sorted(observed.items())}
    return {
        "app_flags": {name: one for name, (one, _unused) in given.items()},
        "not_said": {name: lost for name, (_unused, lost) in given.items() if lost},
    }


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Observe, plan, apply; returns the result. Raises UnleashError."""
    unleash = Unleash(params["url"], params["token"], ca=params["ca"], timeout=params["timeout"])
    project, environment = params["project"], params["environment"]
    unleash.check_environment(environment)
    observed = shape.observed(unleash.export(project, environment))
    if params["only_killed"]:
        wanted = {
            name: {**shape.without_ids(observed[name]), "enabled": False}
            for name in params["killed"]
            if name in observed
        }
    else:
        wanted = shape.wanted(params["flags"], params["killed"], observed)
    steps = plan.steps(wanted, observed, archive=params["archive"] and not params["only_killed"])
    if not check_mode:
        for step in steps:
            unleash.apply(step, project, environment)
    drift = plan.drift(wanted, observed)
    result: dict[str, Any] = {
        "changed": bool(steps),
        "drift": drift,
        "steps": [{key: step[key] for key in ("do", "flag")} for step in steps],
        "diff": {"before": "".join(f"{line}\n" for line in drift), "after": ""},
    }
    if params["only_killed"]:
        return result
    full = [name for name in wanted if name in observed and plan.is_full(observed[name])]
    changes = {name: unleash.last_change(name) for name in full}
    known = {name: moment for name, moment in changes.items() if moment is not None}
    return {
        **result,
        "stale": plan.stale(params["flags"], observed, params["in_code"] or None, known, datetime.now(UTC)),
        "left_over": plan.left_over(wanted, observed),
        "unmanaged": plan.unmanaged(wanted, observed),
        "export": exported(observed),
    }


def main() -> None:
    """Parse, run, exit."""
    module = AnsibleModule(**ARGUMENTS)
    try:
        module.exit_json(**run(module.params, module.check_mode))
    except UnleashError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
