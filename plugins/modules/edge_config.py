#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""An app's routes and upstreams on one edge."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: edge_config
short_description: Install an app's routes and upstreams on an edge
version_added: 0.1.0
description:
  - Writes the app's part of Nginx's configuration, checks all of it with C(nginx -t), reloads, and waits until only new workers take requests.
  - When Nginx rejects the configuration, or does not apply it in time, the old file is restored.
  - For host names that are new here with TLS it starts C(sluice-certificates.service), and does not wait for it.
  - Two apps on one edge cannot have the same host name; the second one is refused.
  - M(sluice.stack.edge_split) decides which slot is live, without a reload.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.run]
options:
  state:
    description: Whether the app should have a configuration here.
    type: str
    choices: [present, absent]
    default: present
  content:
    description: The configuration, as the plan rendered it. Required with O(state=present).
    type: str
  passwords:
    description: Files of passwords that O(content) names, name to content; others of the app are removed. Workers read them, nobody else.
    type: dict
    default: {}
  reload_seconds:
    description: How long the new workers may take to start.
    type: float
    default: 15
attributes:
  check_mode:
    description: Reports whether the configuration would change, and whether its host names conflict with another app.
    support: full
  diff_mode:
    description: Shows the configuration before and after.
    support: full
"""

EXAMPLES = r"""
- name: Configure | Write the edge's routes and upstreams
  sluice.stack.edge_config:
    app: marketplace
    run_id: "{{ contract.run.id }}"
    token: "{{ plan.token }}"
    content: "{{ plan.edge_config }}"
    passwords: "{{ contract.protection | sluice.stack.edge_passwords(contract.app, app_secrets) }}"
"""

RETURN = r"""
fingerprint:
  description: The fingerprint of the configuration, empty without one.
  returned: success
  type: str
  sample: 8c2f0a6d1b7e4935
seconds:
  description: Seconds of the check, the reload and the wait for the new workers.
  returned: changed
  type: float
  sample: 0.4
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import nginx as edge_nginx
from ansible_collections.sluice.stack.plugins.module_utils.edge.install import (
    LOCK,
    ConfigError,
    drop_passwords,
    install,
    obtain_certificates,
    put_passwords,
    read,
    refuse_clash,
    stale_passwords,
)
from ansible_collections.sluice.stack.plugins.module_utils.files import locked
from ansible_collections.sluice.stack.plugins.module_utils.paths import EDGE_CONFIGS
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import RUN_ARGUMENTS, Guard, LeaseError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        **RUN_ARGUMENTS,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "content": {"type": "str"},
        "passwords": {"type": "dict", "default": {}, "no_log": True},
        "reload_seconds": {"type": "float", "default": 15},
    },
    "required_if": [("state", "present", ["content"])],
    "supports_check_mode": True,
}


def main() -> None:
    """Parse, compare, install, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    app, content = params["app"], params["content"] if params["state"] == "present" else ""
    path = os.path.join(EDGE_CONFIGS, f"{app}.conf")
    before = read(path)
    passwords = params["passwords"] if content else {}
    stale = stale_passwords(app, passwords)
    result = {
        "changed": before != content or stale,
        "fingerprint": edge_nginx.fingerprint(content),
        "diff": {"before": before, "after": content, "before_header": path, "after_header": path},
    }
    begin = time.monotonic()
    try:
        if content and not edge_nginx.fingerprint(content):
            raise ConfigError(
                f"the content for app {app} is not a configuration rendered by the plan: nothing was written"
            )
        refuse_clash(app, content)
        if module.check_mode or not result["changed"]:
            module.exit_json(**result)
        with Guard(app, params["run_id"], params["token"]).effect(), locked(LOCK):
            if before == content:
                put_passwords(passwords)
                drop_passwords(app, passwords)
                module.exit_json(**result)
            refuse_clash(app, content)
            install(app, path, before, content, params["reload_seconds"], passwords)
            if edge_nginx.tls_claims(content) - edge_nginx.tls_claims(before):
                obtain_certificates()
    except (ConfigError, LeaseError, edge_control.EdgeDown, edge_control.EdgeRefused) as error:
        module.fail_json(msg=str(error))
    module.exit_json(seconds=round(time.monotonic() - begin, 3), **result)


if __name__ == "__main__":
    main()
