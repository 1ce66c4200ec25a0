#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The previews that a host has something of."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preview_list
short_description: List an app's previews on a host, with when each was deployed last
version_added: 0.1.0
description:
  - Looks at the ledgers of apps, and with O(group) at the databases of previews, so that one that is half there is seen too.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  app:
    description: The app whose previews they are.
    type: str
    required: true
  group:
    description: The role of the previews' databases; empty on a host without them.
    type: str
    default: ""
  port:
    description: The database server's port.
    type: int
    default: 5432
"""

EXAMPLES = r"""
- name: Preview | List what is up
  sluice.stack.preview_list:
    app: marketplace
    group: "{{ 'marketplace_preview' if inventory_hostname == 'db1' else '' }}"
"""

RETURN = r"""
previews:
  description: Seconds of the epoch by number.
  returned: success
  type: dict
  sample: {"123": 1795389300.0}
"""

import contextlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.contract.preview import numbered
from ansible_collections.sluice.stack.plugins.module_utils.paths import STATE_ROOT, ledger_file
from ansible_collections.sluice.stack.plugins.module_utils.previews import database

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "app": {"type": "str", "required": True},
        "group": {"type": "str", "default": ""},
        "port": {"type": "int", "default": 5432},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Observe, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    found: dict[int, float] = {}
    folder = os.path.join(STATE_ROOT, "apps")
    for number in numbered(params["app"], os.listdir(folder) if os.path.isdir(folder) else []):
        found[number] = 0.0
        with contextlib.suppress(OSError):
            found[number] = os.stat(ledger_file(f"{params['app']}-pr-{number}")).st_mtime
    if params["group"]:
        try:
            for number, used in database.previews(database.Server(params["port"], params["group"])).items():
                found[number] = max(used, found.get(number, 0.0))
        except HostError as error:
            module.fail_json(msg=str(error))
    module.exit_json(changed=False, previews={str(number): used for number, used in found.items()})


if __name__ == "__main__":
    main()
