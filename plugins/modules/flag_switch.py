#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Flags that are switched off on an app host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: flag_switch
short_description: Switch feature flags of an app off at once, whatever Unleash says
version_added: 0.2.0
description:
  - Containers of services with C(flags) see the file C(/run/sluice/flags/killed.json) change, and their code takes those flags as off.
  - Needs neither Unleash nor the lease of the app, so that it works during a deploy. Each switch is in a history on the host.
  - Of two events for a flag the later one counts. A host takes over only those that change something, so that one that was away catches up.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  app:
    description: Name of the app.
    type: str
    required: true
  events:
    description: What was switched, on this run or another host; none, to look only.
    type: list
    elements: dict
    default: []
    suboptions:
      flag:
        description: Name of the flag.
        type: str
        required: true
      action:
        description: V(kill) switches it off, V(revive) lets Unleash decide again, V(rollout) is only kept in the history.
        type: str
        choices: [kill, revive, rollout]
        required: true
      time:
        description: When, in ISO 8601 and UTC.
        type: str
        required: true
      run_id:
        description: Id of the run.
        type: str
        required: true
      who:
        description: Who did it.
        type: str
        required: true
      reason:
        description: Why.
        type: str
        default: ""
attributes:
  check_mode:
    description: Nothing is written; reports whether a flag would be switched.
    support: full
  diff_mode:
    description: Shows the flags that are off before and after.
    support: full
"""

EXAMPLES = r"""
- name: Kill | Switch the new payment off
  sluice.stack.flag_switch:
    app: marketplace
    events:
      - {flag: new-payment-flow, action: kill, time: "2026-11-28T14:00:00Z", run_id: 7c9e6679f81d, who: anna@ops, reason: double charges}
"""

RETURN = r"""
events:
  description: The event that counts for each flag on this host, afterwards.
  returned: success
  type: list
  elements: dict
killed:
  description: The flags that are off on this host, afterwards.
  returned: success
  type: list
  elements: str
  sample: [new-payment-flow]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.flags import switches

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "events": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "flag": {"type": "str", "required": True},
                "action": {"type": "str", "choices": ["kill", "revive", "rollout"], "required": True},
                "time": {"type": "str", "required": True},
                "run_id": {"type": "str", "required": True},
                "who": {"type": "str", "required": True},
                "reason": {"type": "str", "default": ""},
            },
        },
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, compare, write, exit."""
    module = AnsibleModule(**ARGUMENTS)
    app, events = module.params["app"], module.params["events"]
    before = switches.latest([switches.read(app)])
    only_look = module.check_mode or not events
    new = switches.news(before, events) if only_look else switches.switch(app, events)
    after = switches.latest([before.values(), new])
    diff = {side: {"killed": switches.killed(one)} for side, one in (("before", before), ("after", after))}
    module.exit_json(changed=bool(new), events=list(after.values()), killed=switches.killed(after), diff=diff)


if __name__ == "__main__":
    main()
