#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Which registries root still has to log in to."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: docker_logins
short_description: Find registries whose login is missing or different in a host's Docker configuration
version_added: 0.2.0
description:
  - Compares with the Docker configuration of the user the task runs as, credential helpers included. Contacts no registry.
  - C(community.docker.docker_login) makes the same comparison, but loads the SDK for each registry.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  registries:
    description: The registries.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: Its host, with the port if any.
        type: str
        required: true
      username:
        description: The user.
        type: str
        required: true
      password:
        description: The password.
        type: str
        required: true
      ca:
        description: Not used here.
        type: str
"""

EXAMPLES = r"""
- name: Registries | Find missing logins
  sluice.stack.docker_logins:
    registries: [{host: "registry.example.com", username: shop, password: "{{ vault_registry_password }}"}]
  register: logins
"""

RETURN = r"""
missing:
  description: The hosts of registries with a different login or none.
  returned: success
  type: list
  elements: str
  sample: ["registry.example.com"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import login

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "registries": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "host": {"type": "str", "required": True},
                "username": {"type": "str", "required": True},
                "password": {"type": "str", "required": True, "no_log": True},
                "ca": {"type": "str"},
            },
        }
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Read and compare."""
    module = AnsibleModule(**ARGUMENTS)
    missing = [
        item["host"]
        for item in module.params["registries"]
        if login(f"{item['host']}/image") != {"username": item["username"], "password": item["password"]}
    ]
    module.exit_json(changed=False, missing=missing)


if __name__ == "__main__":
    main()
