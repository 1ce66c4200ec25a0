#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Who may reach and enter a host, changed with a way back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_access
short_description: Change firewall, SSH, sudo and keys so that a mistake which shuts the controller out undoes itself
version_added: 0.2.0
description:
  - Compares users and files with the desired ones, and the loaded firewall rules with those that were loaded last. Where nothing differs, nothing happens.
  - Otherwise it keeps copies, starts a timer that restores them, changes the files and loads them. Then the controller opens a new connection
    to the host, with privilege escalation. That stops the timer; if none is possible, the host undoes the change when the timer ends, and the task fails.
  - A change that is interrupted between, also by a reboot, is undone. Directories stay.
  - It needs what the role P(sluice.stack.baseline#role) installs before it.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.files]
options:
  users:
    description: Users to create. They have no password. Users are never removed.
    type: list
    elements: str
    default: []
  seconds:
    description: When the host undoes an unconfirmed change, in seconds. The timer's own setting is the role's.
    type: int
    default: 60
  state:
    description: V(changed) makes the change. The others are the action plugin's own, for a change that was made with O(token).
    type: str
    choices: [changed, confirmed, asked]
    default: changed
  token:
    description: Names the change; the action plugin sets it.
    type: str
    default: ""
attributes:
  action:
    description: The action plugin opens the new connection.
    support: full
  check_mode:
    description: Reports what would change.
    support: full
  diff_mode:
    description: Shows each file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Access | Let in whoever may
  sluice.stack.host_access:
    users: [jane]
    files:
      - path: /etc/nftables.d/sluice.nft
        content: "{{ lookup('ansible.builtin.template', 'firewall.nft.j2') }}"
        validate: /usr/sbin/nft --check --file %s
"""

RETURN = r"""
changes:
  description: What differs, one line for each.
  returned: O(state=changed)
  type: list
  elements: str
  sample: ["/etc/nftables.d/sluice.nft: content"]
pending:
  description: Whether a change awaits its confirmation.
  returned: O(state=asked) and O(state=confirmed)
  type: bool
confirmed:
  description: Whether the change is permanent.
  returned: O(state=confirmed)
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import access, host_files

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "users": {"type": "list", "elements": "str", "default": []},
        **host_files.OPTIONS,
        "seconds": {"type": "int", "default": 60},
        "state": {"type": "str", "choices": ["changed", "confirmed", "asked"], "default": "changed"},
        "token": {"type": "str", "default": "", "no_log": False},
    },
    "supports_check_mode": True,
}


def change(module: AnsibleModule) -> dict[str, Any]:
    """Make the change; returns the module's result."""
    if access.pending() and not module.check_mode:
        # Of a run that did not come to its end.
        access.undo()
    desired = access.desired_of(module.params)
    names = access.missing_users(module.params["users"], access.users())
    changes = host_files.changes_for(desired)
    rules = access.drift(access.loaded_rules(), access.text_of("loaded"))
    lines = access.summary(names, changes, rules)
    if lines and not module.check_mode:
        access.make(names, changes, module.params["token"])
    return {
        "changed": bool(lines),
        "changes": lines,
        "diff": [host_files.diff_of(item) for item in changes] if module._diff else [],
    }


def main() -> None:
    """Change, confirm or ask."""
    module = AnsibleModule(**ARGUMENTS)
    state = module.params["state"]
    try:
        if state == "changed":
            module.exit_json(**change(module))
        confirmed = state == "confirmed" and access.confirm(module.params["token"])
        module.exit_json(changed=False, confirmed=confirmed, pending=bool(access.pending()))
    except (access.AccessError, host_files.HostFilesError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
