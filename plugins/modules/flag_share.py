#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The share of people who have a feature flag."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: flag_share
short_description: Give a feature flag to a share of the people, or see who has it
version_added: 0.2.0
description:
  - For flags whose strategy has C(rollout) V(gradual) in C(app_flags). Their share is what a rollout has made of it; everything else of them has to be
    in Unleash as the inventory says.
  - Changes it only while the run holds the lease of the app on this host, so that two rollouts are never at one flag.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run, sluice.stack.unleash]
options:
  admin_token:
    description: An admin token of Unleash.
    type: str
    required: true
  flag:
    description: Name of the flag.
    type: str
    required: true
  definition:
    description: The flag, as in C(flags) of the contract.
    type: dict
    required: true
  percent:
    description: The share; without it, it is only looked at.
    type: int
attributes:
  check_mode:
    description: Nothing is changed; reports whether it would be.
    support: full
  diff_mode:
    description: Shows the share before and after.
    support: full
"""

EXAMPLES = r"""
- name: Rollout | Give it to half of the people
  sluice.stack.flag_share:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: 42
    url: https://flags.example.com
    admin_token: "{{ vault_unleash_admin_token }}"
    environment: production
    flag: new-payment-flow
    definition: "{{ contract.flags['new-payment-flow'] }}"
    percent: 50
"""

RETURN = r"""
percent:
  description: The share afterwards.
  returned: success
  type: int
  sample: 50
before:
  description: The share before.
  returned: success
  type: int
  sample: 10
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.flags import rollout, shape
from ansible_collections.sluice.stack.plugins.module_utils.flags.unleash import UNLEASH_ARGUMENTS, Unleash, UnleashError
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        **UNLEASH_ARGUMENTS,
        "admin_token": {"type": "str", "required": True, "no_log": True},
        "flag": {"type": "str", "required": True},
        "definition": {"type": "dict", "required": True},
        "percent": {"type": "int"},
    },
    "supports_check_mode": True,
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Observe, plan, apply; returns the result. Raises UnleashError, RolloutError or LeaseError."""
    unleash = Unleash(params["url"], params["admin_token"], ca=params["ca"], timeout=params["timeout"])
    project, environment, name = params["project"], params["environment"], params["flag"]
    unleash.check_environment(environment)
    seen = shape.observed(unleash.export(project, environment)).get(name)
    if params["percent"] is None:
        before = rollout.share(name, params["definition"], seen)
        return {"changed": False, "before": before, "percent": before}
    # Also where somebody switched it off meanwhile: what goes back must not depend on that.
    if seen is None:
        raise rollout.RolloutError(f"{name} is not in Unleash any more")
    steps = rollout.move(name, params["definition"], seen, params["percent"])
    if not check_mode:
        guard = Guard(params["app"], params["run_id"], params["token"])
        for step in steps:
            with guard.effect():
                unleash.apply(step, project, environment)
    before = rollout.gradual(params["definition"], seen)
    return {"changed": bool(steps), "before": before, "percent": params["percent"] if steps else before}


def main() -> None:
    """Parse, run, exit."""
    module = AnsibleModule(**ARGUMENTS)
    try:
        result = run(module.params, module.check_mode)
    except (UnleashError, rollout.RolloutError, LeaseError) as error:
        module.fail_json(msg=str(error))
    diff = {
        side: f"{module.params['flag']}: {result[key]} %\n"
        for side, key in (("before", "before"), ("after", "percent"))
    }
    module.exit_json(**result, diff=diff)


if __name__ == "__main__":
    main()
