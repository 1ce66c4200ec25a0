#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The database of a preview: a copy of a scrubbed copy of the app's."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preview_database
short_description: Have the database and role of a preview, or remove them
version_added: 0.1.0
description:
  - Runs on the host of the primary. The app's database is copied once into a template, which nobody may connect to, and is scrubbed there by the app's SQL;
    each preview gets a copy of the template, and a role of its own that may connect to nothing else.
  - What is copied has code of the app's, such as triggers. It runs as the role V(GROUP_new), which is made for one copy and which pg_hba.conf has to let
    in over the socket by password.
  - A scrub that fails leaves no copy. The template is made again when it is older than O(max_age_days), or when the scrub changed.
  - With the last preview the template goes too.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  state:
    description: V(present) or V(absent).
    type: str
    choices: [present, absent]
    default: present
  group:
    description: The role that owns what was copied, and whose members the previews' roles are. pg_hba.conf names it.
    type: str
    required: true
  name:
    description: The name of the database and of its role.
    type: str
    required: true
  password:
    description: The role's password. For V(present).
    type: str
    default: ""
  source:
    description: The database to copy. For V(present).
    type: str
    default: ""
  scrub:
    description: SQL that removes from the copy what nobody may see, run in one transaction by O(group); materialized views are refreshed in it. For V(present).
    type: str
    default: ""
  without:
    description: Tables whose rows are not copied, each by its name as it is written, if need be after its schema; with their partitions.
    type: list
    elements: str
    default: []
  max_age_days:
    description: The greatest age of the template.
    type: float
    default: 7
  fresh:
    description: Whether a database that is there is made again.
    type: bool
    default: false
  port:
    description: The server's port.
    type: int
    default: 5432
attributes:
  check_mode:
    description: Nothing is done in check mode.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Preview | Have its database
  sluice.stack.preview_database:
    group: marketplace_preview
    name: marketplace_preview_123
    password: "{{ preview_password }}"
    source: marketplace
    scrub: update users set email = id || '@example.com';
"""

RETURN = r"""
made:
  description: Whether the database was made.
  returned: O(state) is V(present)
  type: bool
copied:
  description: Whether the template was made for it.
  returned: O(state) is V(present)
  type: bool
seconds:
  description: How long it took.
  returned: success
  type: float
"""

import re
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.previews import database

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "group": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "default": "", "no_log": True},
        "source": {"type": "str", "default": ""},
        "scrub": {"type": "str", "default": ""},
        "without": {"type": "list", "elements": "str", "default": []},
        "max_age_days": {"type": "float", "default": 7},
        "fresh": {"type": "bool", "default": False},
        "port": {"type": "int", "default": 5432},
    },
    "required_if": [("state", "present", ("password", "source", "scrub"))],
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, apply, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    for key in ("group", "name"):
        if not NAME.fullmatch(params[key]):
            module.fail_json(msg=f"{key} is {params[key]!r}: it must be a name of small letters, digits and '_'")
    if not params["name"].startswith(f"{params['group']}_"):
        # What is dropped here is a preview's.
        module.fail_json(msg=f"name is {params['name']!r}: it must begin with {params['group']}_")
    if module.check_mode:
        module.exit_json(changed=True, made=False, copied=False, seconds=0.0)
    server, begun = database.Server(params["port"], params["group"]), time.monotonic()
    try:
        if params["state"] == "absent":
            changed = database.absent(server, params["name"])
            module.exit_json(changed=changed, seconds=time.monotonic() - begun)
        keys = ("name", "password", "source", "scrub", "without", "max_age_days", "fresh")
        done = database.present(server, **{key: params[key] for key in keys})
    except (HostError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=done["made"], seconds=time.monotonic() - begun, **done)


if __name__ == "__main__":
    main()
