#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The state of a Postgres cluster and its server, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: postgres_state
short_description: Report how a Postgres cluster differs from what is desired
version_added: 0.2.0
description:
  - Reads in one call the state that the role C(postgres) depends on, so that it calls the modules of C(community.postgresql) and C(community.crypto) only
    where something differs.
  - Queries the server as its own user over its socket; the task runs as root. A server that is down is a state, not a failure.
  - Passwords are compared on the host with the server's verifiers. Neither is in the result.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.reads]
options:
  version:
    description: Major version of Debian's cluster C(main).
    type: str
    required: true
  port:
    description: The server's port.
    type: int
    default: 5432
  addresses:
    description: Addresses it must listen on.
    type: list
    elements: str
    default: []
  files:
    description: Its configuration files, to check whether it has read them.
    type: list
    elements: path
    default: []
  certificate_names:
    description: Names and addresses that the role's own certificate is for. Empty when the certificate is not the role's own.
    type: list
    elements: str
    default: []
  tls_directory:
    description: Where the role's own certificate is.
    type: path
    default: /etc/sluice/postgres
  desired:
    description:
      - The desired state of the server, with the keys C(roles) (names), C(members), C(databases), C(guests), C(migrators) and C(grants), each a list.
      - Empty for a standby.
    type: dict
    default: {}
  passwords:
    description: The passwords of roles that log in, by name.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: State | See how the cluster differs
  sluice.stack.postgres_state:
    version: "17"
    addresses: [10.0.0.31]
    desired:
      roles: [shop]
      members: []
      databases: [{name: shop, owner: shop}]
      guests: [{database: shop, owner: shop, roles: []}]
      migrators: []
      grants: []
    passwords: {shop: "{{ vault_postgres_app_password }}"}
"""

RETURN = r"""
cluster:
  description: Whether the cluster has a configuration, is fenced by a promotion, and is a standby.
  returned: success
  type: dict
  sample: {configured: true, fenced: false, standby: false}
certificate:
  description: Why the certificate must be created or signed again.
  returned: success
  type: list
  elements: str
  sample: ["/etc/sluice/postgres/server.pem: less than 90 days left"]
running:
  description: Whether the server accepts connections.
  returned: success
  type: bool
  sample: true
reason:
  description: Why it does not accept connections.
  returned: when it does not
  type: str
settings:
  description: Settings that need a restart, as C(community.postgresql.postgresql_info) returns them.
  returned: success
  type: dict
checksums:
  description: V(on) or V(off); empty when the server is down.
  returned: success
  type: str
  sample: "on"
unread:
  description: Whether a file changed after the server read it.
  returned: success
  type: bool
  sample: false
pending:
  description: Settings with a pending restart.
  returned: success
  type: str
  sample: ""
refused:
  description: Rules of pg_hba.conf that the server rejects.
  returned: success
  type: str
  sample: ""
deaf:
  description: Those of O(addresses) it does not listen on.
  returned: success
  type: list
  elements: str
  sample: []
differences:
  description: How roles, databases and privileges differ, one line each.
  returned: success
  type: list
  elements: str
  sample: ["role shop: another password"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.postgres import host

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "version": {"type": "str", "required": True},
        "port": {"type": "int", "default": 5432},
        "addresses": {"type": "list", "elements": "str", "default": []},
        "files": {"type": "list", "elements": "path", "default": []},
        "certificate_names": {"type": "list", "elements": "str", "default": []},
        "tls_directory": {"type": "path", "default": "/etc/sluice/postgres"},
        "desired": {"type": "dict", "default": {}},
        "passwords": {"type": "dict", "default": {}, "no_log": True},
    },
    "supports_check_mode": True,
}
NO_ANSWER: dict[str, Any] = {
    "settings": {},
    "checksums": "",
    "unread": False,
    "pending": "",
    "refused": "",
    "differences": [],
}


def main() -> None:
    """Read and report."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    names = params["certificate_names"]
    result = {
        "cluster": host.cluster(params["version"]),
        "certificate": host.certificate(params["tls_directory"], names) if names else [],
        "deaf": host.deaf(params["addresses"], params["port"]),
    }
    try:
        answer = host.server(params["files"], params["port"], params["desired"], params["passwords"])
    except host.NoAnswer as error:
        module.exit_json(changed=False, running=False, reason=str(error), **result, **NO_ANSWER)
    module.exit_json(changed=False, running=True, **result, **answer)


if __name__ == "__main__":
    main()
