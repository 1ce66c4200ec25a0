#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The login roles of an app that take turns, on the primary."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_login
short_description: Look at the two login roles of an app, and change which may log in
version_added: 0.2.0
description:
  - A role of Postgres has one password, so a password is rotated with two login roles, C(<role>_a) and C(<role>_b), which take turns. Both are members
    of O(role) and act as it, so whatever they make belongs to it.
  - The server gets a SCRAM verifier that is computed on the host, never a password.
  - Runs on the primary, as root; asks the server as its own user over its socket.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.turns]
options:
  role:
    description: The role that owns the app's objects.
    type: str
    required: true
  url:
    description: A database URL with the login to look at, or with the new login for O(state=prepared). Its path is the database.
    type: str
    required: true
  port:
    description: The server's port.
    type: int
    default: 5432
"""

EXAMPLES = r"""
- name: Rotation | See which logins there are
  sluice.stack.db_login:
    role: marketplace
    url: "{{ database_url }}"
  register: logins

- name: Rotation | End the logins that are not in this URL
  sluice.stack.db_login:
    role: marketplace
    url: "{{ database_url }}"
    state: revoked
"""

RETURN = r"""
logins:
  description: The logins that exist, and whether each may log in.
  returned: success
  type: dict
  sample: {marketplace: false, marketplace_a: true, marketplace_b: false}
accepted:
  description: Whether the server knows the password of O(url).
  returned: success
  type: bool
  sample: true
seen:
  description: A fingerprint of the password of each login, for O(expected).
  returned: success
  type: dict
  sample: {marketplace_a: 0f343b0931126a20}
in_use:
  description: By login, who is connected as it.
  returned: success
  type: dict
  sample: {marketplace_b: ["marketplace_b from 10.0.0.21: 4 connections"]}
closed:
  description: How many connections O(state=revoked) closed.
  returned: when it revoked
  type: int
  sample: 0
"""

import os
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.postgres import host, logins
from ansible_collections.sluice.stack.plugins.module_utils.postgres.state import password_matches
from ansible_collections.sluice.stack.plugins.module_utils.rotation import login, turns
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

ARGUMENTS: dict[str, Any] = turns.arguments("role", 5432)


class Postgres:
    """The primary of this host, asked as its own user."""

    def __init__(self, role: str, port: int) -> None:
        self._role, self._port, self._verifiers = role, port, dict[str, str]()

    def look(self) -> turns.Look:
        """Return the roles that exist, and who is connected as them."""
        names = login.postgres(self._role).names
        answer = self._ask(logins.look(names))
        if answer["standby"]:
            raise RotationError("this server is a standby: postgres_primary must name the primary")
        self._verifiers = {name: one["verifier"] for name, one in answer["roles"].items()}
        may = {name: bool(one["login"]) for name, one in answer["roles"].items()}
        return turns.Look(may, self._verifiers, {name: logins.in_use(answer, [name]) for name in names})

    def knows(self, name: str, url: str) -> bool:
        """Return whether a URL has the password of a role."""
        return password_matches(login.parts(url)[1], self._verifiers[name])

    def prepare(self, name: str, url: str) -> None:
        """Give a role the password of a URL, in a transaction that notices another run."""
        _user, password, database = login.parts(url)
        verifier = logins.verifier(password, os.urandom(logins.SALT_BYTES))
        self._ask(logins.prepare(name, self._role, database, verifier, self._verifiers.get(name, "")))

    def enable(self, name: str) -> None:
        """Let a role log in."""
        self._ask(logins.enable(name))

    def revoke(self, names: Sequence[str]) -> int:
        """End roles' logins and close their connections."""
        return int(self._ask(logins.revoke(names)))

    def _ask(self, sql: str) -> Any:
        return host.ask(sql, "postgres", self._port)


def main() -> None:
    """Parse, look, change, exit."""
    module = AnsibleModule(**ARGUMENTS)
    role = module.params["role"]
    try:
        server = Postgres(role, module.params["port"])
        result = turns.reach(server, login.postgres(role), module.params, check_mode=module.check_mode)
    except (RotationError, host.NoAnswer) as error:
        module.fail_json(msg=f"role {role}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
