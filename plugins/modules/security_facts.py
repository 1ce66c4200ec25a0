#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What a host says about its own security, and what it shows to the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: security_facts
short_description: Read a host's security from inside, and from the controller
version_added: 0.2.0
description:
  - On the host it reads the SSH server's effective settings, firewall, listening sockets, containers, pending upgrades, accounts, file modes,
    kernel settings and the last report of lynis. On the controller it tries ports of the host, and runs C(ssh-audit), and C(sslyze) for each
    site with TLS, where they are installed.
  - The options stay on the controller; the host needs none of them.
  - It changes nothing, installs nothing, and reads no secret. What is right or wrong is decided by M(sluice.stack.security_report).
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  address:
    description: The address or name of the host as seen from the controller.
    type: str
    required: true
  addresses:
    description: More of its addresses to look at, such as the public or the IPv6 one.
    type: list
    elements: str
    default: []
  sources:
    description: Addresses that the host sees the controller as, where network address translation makes them others than the controller's own.
    type: list
    elements: str
    default: []
  ssh_port:
    description: Its port for SSH. It is not scanned, and audited by C(ssh-audit).
    type: int
    default: 22
  rules:
    description: What its firewall opens to whom, as C(baseline_firewall_allow) and C(baseline_firewall_extra).
    type: list
    elements: dict
    default: []
  http_port:
    description: An edge's port for HTTP.
    type: int
    default: 80
  routes:
    description: What an edge serves, as C(app_routes); empty for other hosts.
    type: list
    elements: dict
    default: []
  tls:
    description: Which of the routes' host names have TLS, as for a release - C(port), C(source) and C(hosts).
    type: dict
    default: {}
  ca:
    description: PEM certificates that vouch for the sites' certificates, besides those that the controller trusts.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Security | Look at the host
  sluice.stack.security_facts:
    address: "{{ ansible_host }}"
    rules: [{ports: [80, 443], from: [any]}]
    routes: [{host: app.example.com, path: /, service: frontend}]
    tls: {port: 443, source: acme}
  register: seen
"""

RETURN = r"""
host:
  description: The facts from inside, by part. A part that could not be read is C(missing) with the reason.
  returned: success
  type: dict
  sample: {sshd: {passwordauthentication: "no"}, containers: {missing: "no engine"}}
outside:
  description: The facts from the controller.
  returned: success
  type: dict
  sample: {ports: {10.0.0.11: {reached: true, states: {"443": open}}}, sources: [10.0.0.9], ssh_audit: {problems: []}, sites: []}
declared:
  description: O(rules), as given.
  returned: success
  type: list
  elements: dict
  sample: [{ports: [80, 443], from: [any]}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.security import host

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "address": {"type": "str", "required": True},
        "addresses": {"type": "list", "elements": "str", "default": []},
        "sources": {"type": "list", "elements": "str", "default": []},
        "ssh_port": {"type": "int", "default": 22},
        "rules": {"type": "list", "elements": "dict", "default": []},
        "http_port": {"type": "int", "default": 80},
        "routes": {"type": "list", "elements": "dict", "default": []},
        "tls": {"type": "dict", "default": {}},
        "ca": {"type": "str", "default": ""},
    },
    "supports_check_mode": True,
}


def main() -> None:
    """Read and return the host's own facts; the action plugin adds the controller's."""
    module = AnsibleModule(**ARGUMENTS)
    module.exit_json(changed=False, host=host.gather())


if __name__ == "__main__":
    main()
