#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The two users of an app in Redis's access control list that take turns."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: redis_login
short_description: Look at the two Redis users of an app, and change which may log in
version_added: 0.2.0
description:
  - A password is rotated with two users, C(<user>_a) and C(<user>_b), which take turns. They may do everything but administer the server.
    The default user, by which it is administered, stays.
  - They are in C(/etc/redis/sluice-users.conf), which the server reads at its start, by the hash of their password; the running server is told without a
    restart.
  - Runs on a host of the role C(redis), as root, by the password of the default user.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group, sluice.stack.turns]
options:
  user:
    description: How the two are called, without C(_a) and C(_b).
    type: str
    required: true
  url:
    description: A Redis URL with the login to look at, or with the new login for O(state=prepared). Without a user it is the default user's.
    type: str
    required: true
  port:
    description: The server's port.
    type: int
    default: 6379
"""

EXAMPLES = r"""
- name: Rotation | See which users there are
  sluice.stack.redis_login:
    user: marketplace
    url: "{{ redis_url }}"
  register: logins
"""

RETURN = r"""
logins:
  description: The users that exist, and whether each may log in.
  returned: success
  type: dict
  sample: {default: true, marketplace_a: true, marketplace_b: false}
accepted:
  description: Whether the server knows the password of O(url).
  returned: success
  type: bool
  sample: true
seen:
  description: A fingerprint of the password of each, for O(expected).
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

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.redis import server as redis
from ansible_collections.sluice.stack.plugins.module_utils.rotation import login, turns
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

ARGUMENTS: dict[str, Any] = turns.arguments("user", 6379)
USERS = "/etc/redis/sluice-users.conf"
RIGHTS = ("~*", "&*", "+@all", "-@admin")


class Redis:
    """The server of this host, asked as its default user."""

    def __init__(self, family: login.Family, port: int) -> None:
        self._family, self._server = family, redis.Server(port, redis.admin_password())
        self._held = dict[str, dict[str, Any]]()

    def look(self) -> turns.Look:
        """Return the users that exist, and who is connected as them."""
        held = redis.users(self._server.ask("ACL", "LIST"))
        self._held = {name: held[name] for name in self._family.names if name in held}
        clients = self._server.ask("CLIENT", "LIST")
        return turns.Look(
            {name: one["login"] for name, one in self._held.items()},
            {name: " ".join(one["passwords"]) for name, one in self._held.items()},
            {name: redis.in_use(clients, name) for name in self._family.names},
        )

    def knows(self, name: str, url: str) -> bool:
        """Return whether a URL has the password of a user."""
        return _hash(url) in self._held[name]["passwords"]

    def prepare(self, name: str, url: str) -> None:
        """Give a user the password of a URL, of which the server gets a hash."""
        self._set({name: {"login": False, "passwords": [_hash(url)]}})

    def enable(self, name: str) -> None:
        """Let a user log in."""
        self._set({name: {**self._held[name], "login": True}})

    def revoke(self, names: Sequence[str]) -> int:
        """End users' logins and close their connections."""
        self._set({name: {"login": False, "passwords": []} for name in names})
        return sum(self._server.ask("CLIENT", "KILL", "USER", name) for name in names)

    def _set(self, changed: Mapping[str, Mapping[str, Any]]) -> None:
        """Write all users for the server's next start, then tell the running one which changed."""
        users = {**{name: one for name, one in self._held.items() if name in self._family.pair}, **changed}
        rules = {
            name: ["on" if user["login"] else "off", *(f"#{one}" for one in user["passwords"]), *RIGHTS]
            for name, user in sorted(users.items())
        }
        lines = ["# managed by sluice.stack", *(f"user {name} {' '.join(flags)}" for name, flags in rules.items())]
        write_atomic(USERS, "\n".join(lines) + "\n", mode=0o640, group="redis")
        for name in changed:
            self._server.ask("ACL", "SETUSER", name, "reset", *rules[name])


def _hash(url: str) -> str:
    """Return what the server has of a URL's password."""
    return hashlib.sha256(login.parts(url)[1].encode()).hexdigest()


def main() -> None:
    """Parse, look, change, exit."""
    module = AnsibleModule(**ARGUMENTS)
    family = login.redis(module.params["user"])
    try:
        server = Redis(family, module.params["port"])
        result = turns.reach(server, family, module.params, check_mode=module.check_mode)
    except (RotationError, redis.RedisError) as error:
        module.fail_json(msg=f"redis: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
