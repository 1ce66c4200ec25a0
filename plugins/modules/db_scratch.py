#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A copy of the database, restored from its newest backup, that things can be tried on."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_scratch
short_description: Start a scratch copy of the database alongside it, or remove it
version_added: 0.1.0
description:
  - Restores the newest backup, with all changes archived since, into its own directory on a database host of the role C(backup),
    and starts a server on it. It has no archive, and has the same users and passwords.
  - Only the listed clients may connect. The copy is as confidential as the database itself, and exists only while it is used.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  state:
    description:
      - V(present) replaces an existing one. V(absent) removes it.
    type: str
    choices: [present, absent]
    default: present
  address:
    description: The host's private address to listen at. For V(present).
    type: str
    default: ""
  clients:
    description: The networks that may connect, in CIDR notation. For V(present).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Nothing is done in check mode.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Rehearse | Bring up a copy of the database
  sluice.stack.db_scratch:
    address: 10.0.0.31
    clients: [10.0.0.21/32]
  register: copy

- name: Rehearse | Take it away
  sluice.stack.db_scratch:
    state: absent
"""

RETURN = r"""
address:
  description: The address of the copy, with its port.
  returned: O(state) is V(present)
  type: str
  sample: 10.0.0.31:5500
backup:
  description: The backup it was made from.
  returned: O(state) is V(present)
  type: str
size:
  description: The database's size in bytes.
  returned: O(state) is V(present)
  type: int
seconds:
  description: Seconds until it accepted connections.
  returned: O(state) is V(present)
  type: float
rewritten:
  description: Tables that were rewritten in the copy, with their size in bytes, the largest first.
  returned: O(state) is V(absent)
  type: list
  elements: dict
  sample: [{name: marketplace.public.Booking, bytes: 52428800}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, database_settings
from ansible_collections.sluice.stack.plugins.module_utils.migration import db_copy

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "address": {"type": "str", "default": ""},
        "clients": {"type": "list", "elements": "str", "default": []},
    },
    "required_if": [("state", "present", ("address", "clients"))],
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True)
    try:
        if params["state"] == "absent":
            module.exit_json(changed=True, rewritten=db_copy.take_down(database_settings()))
        made = db_copy.bring_up(database_settings(), params["address"], params["clients"])
    except (HostError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **made)


if __name__ == "__main__":
    main()
