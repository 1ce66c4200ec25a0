#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Begin or undo a chaos experiment on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: chaos_action
short_description: Begin or undo a chaos experiment on a host
version_added: 0.2.0
description:
  - Before it acts, it writes the undo to the disk, has systemd run it after O(limit) seconds and at every boot, and then begins. So the undo happens
    whoever dies meanwhile. What an earlier experiment left is undone first.
  - What each experiment does is in C(plugins/module_utils/chaos/actions.py). One that cannot be done on the host changes nothing and says why.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  state:
    description:
      - V(started) begins the experiment, V(undone) undoes what is active, V(observed) looks what is active.
    type: str
    choices: [started, undone, observed]
    required: true
  experiment:
    description: With O(state=started), its name.
    type: str
    default: ""
  target:
    description: With O(state=started), what M(sluice.stack.chaos_plan) has found for the host.
    type: dict
    default: {}
  run_id:
    description: Id of the run.
    type: str
    default: ""
  limit:
    description: After so many seconds the host undoes it by itself.
    type: float
    default: 60
attributes:
  check_mode:
    description: Nothing is begun or undone in check mode.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Chaos | Undo what an earlier run has left
  sluice.stack.chaos_action:
    state: undone
"""

RETURN = r"""
unfit:
  description: Why the experiment cannot be done on this host; nothing was changed.
  returned: O(state=started), and it cannot
  type: str
  sample: its kernel has no netem
note:
  description: What exactly was chosen.
  returned: O(state=started), and it was begun
  type: str
  sample: marketplace-backend-20261122T231500Z-v1.4.2-blue-0
leftover:
  description: The experiment that an earlier run had left, and that was undone first; empty without one.
  returned: O(state=started)
  type: str
undone:
  description: The experiment that was undone; empty when none was active.
  returned: O(state=undone)
  type: str
  sample: network_cut_app
active:
  description: The experiment that is active.
  returned: O(state=observed)
  type: str
boot:
  description: Tells one boot of the host from another.
  returned: O(state=observed)
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.chaos import host

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "state": {"type": "str", "choices": ["started", "undone", "observed"], "required": True},
        "experiment": {"type": "str", "default": ""},
        "target": {"type": "dict", "default": {}},
        "run_id": {"type": "str", "default": ""},
        "limit": {"type": "float", "default": 60},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, act, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    try:
        if params["state"] == "observed" or module.check_mode:
            result = host.state()
        elif params["state"] == "undone":
            result = host.undo()
        else:
            result = host.start(params["experiment"], params["target"], params["run_id"], params["limit"])
    except (host.ActionError, OSError) as error:
        module.fail_json(msg=str(error))
    # What was begun is undone again: a run of experiments changes nothing.
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
