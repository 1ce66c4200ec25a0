#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Write a release's outcome into a host's ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_ledger
short_description: Append to, or read, a host's copy of an app's ledger
version_added: 0.1.0
description:
  - Appends entries, synced to disk, each once however often the module runs.
  - Can give the app back on the host in the same round.
author: Sluice maintainers (@sluice-stack)
options:
  app:
    description: Name of the app.
    type: str
    required: true
  state:
    description: Append O(entries), or only read.
    type: str
    choices: [present, read]
    default: present
  run_id:
    description: Id of the run. Required to append.
    type: str
  token:
    description: The run's fencing token. Required to append.
    type: int
  entries:
    description: Entries as the release plan made them.
    type: list
    elements: dict
    default: []
  release_lease:
    description: Give the app back on this host afterwards.
    type: bool
    default: false
  lease_seconds:
    description: How long the app stays this run's otherwise, in seconds.
    type: float
    default: 60
attributes:
  check_mode:
    description: Nothing is written in check mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: record | Write the release into the ledger of every host
  sluice.stack.release_ledger:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    entries: ["{{ plan.confirmed_entry }}"]
"""

RETURN = r"""
entries:
  description: The ledger's entries, oldest first.
  returned: when O(state=read)
  type: list
  elements: dict
  sample: []
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils import ledger
from ansible_collections.sluice.stack.plugins.module_utils.guard import Guard, LeaseError, app_folder


def main() -> None:
    """Parse, append or read, exit."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "read"], "default": "present"},
            "run_id": {"type": "str"},
            "token": {"type": "int", "no_log": False},
            "entries": {"type": "list", "elements": "dict", "default": []},
            "release_lease": {"type": "bool", "default": False},
            "lease_seconds": {"type": "float", "default": 60},
        },
        required_if=[("state", "present", ["run_id", "token"])],
        supports_check_mode=True,
    )
    params = module.params
    path = os.path.join(app_folder(params["app"]), "ledger.jsonl")
    if params["state"] == "read":
        module.exit_json(changed=False, entries=ledger.read(path))
    if module.check_mode:
        module.exit_json(changed=bool(params["entries"]))
    guard = Guard(params["app"], params["run_id"], params["token"])
    try:
        with guard.effect(extend=params["lease_seconds"]):
            changed = ledger.append(path, params["entries"])
        if params["release_lease"]:
            guard.release()
    except LeaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
