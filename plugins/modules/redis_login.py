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
  - They are in C(/etc/redis/sluice-users.conf), which the server reads at its start, by the hash of their password; the running server is told without a
    restart.
  - Runs on a host of the role C(redis), as root, by the password of the default user.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment: [sluice.stack.group]
options:
  user:
    description: How the two are called, without C(_a) and C(_b).
    type: str
    required: true
  url:
    description: A Redis URL with the login to look at, or with the new login for O(state=prepared). Without a user it is the default user's.
    type: str
    required: true
  state:
    description:
      - With V(observed) nothing is changed.
      - With V(prepared) the login of O(url) gets its password; it cannot log in yet.
      - With V(enabled) it can.
      - With V(unused) the module waits until nobody is connected as the other one.
      - With V(revoked) the other one ends, and with it its connections. The default user stays.
    type: str
    choices: [observed, prepared, enabled, unused, revoked]
    default: observed
  expected:
    description: For O(state=prepared), the C(seen) of an earlier look. Fails when it changed since, because another rotation is under way.
    type: str
    default: ""
  wait_seconds:
    description: How long O(state=unused) waits.
    type: float
    default: 60
  port:
    description: The server's port.
    type: int
    default: 6379
attributes:
  check_mode:
    description: Only V(observed) and V(unused) do anything in check mode, and V(unused) does not wait.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
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
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.redis import server as redis
from ansible_collections.sluice.stack.plugins.module_utils.rotation import login
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "user": {"type": "str", "required": True},
        "url": {"type": "str", "required": True, "no_log": True},
        "state": {
            "type": "str",
            "choices": ["observed", "prepared", "enabled", "unused", "revoked"],
            "default": "observed",
        },
        "expected": {"type": "str", "default": ""},
        "wait_seconds": {"type": "float", "default": 60},
        "port": {"type": "int", "default": 6379},
    },
    "supports_check_mode": True,
}
USERS = "/etc/redis/sluice-users.conf"
RIGHTS = ("~*", "&*", "+@all", "-@admin")
POLL_SECONDS = 0.5


def main() -> None:
    """Parse, look, change, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params = module.params
    family = login.redis(params["user"])
    try:
        name, password = family.user(params["url"]), login.parts(params["url"])[1]
        server = redis.Server(params["port"], redis.admin_password())
        held = redis.users(server.ask("ACL", "LIST"))
        changed, more = False, dict[str, Any]()
        if params["state"] == "unused":
            _wait(server, family.others(name), 0 if module.check_mode else params["wait_seconds"])
        elif params["state"] != "observed" and not module.check_mode:
            changed, more = _change(params, server, family, name, _hash(password), held)
            held = redis.users(server.ask("ACL", "LIST"))
        using = {one: _in_use(server, [one]) for one in family.names}
    except (RotationError, redis.RedisError) as error:
        module.fail_json(msg=f"redis: {error}")
    mine = {one: held[one] for one in family.names if one in held}
    module.exit_json(
        changed=changed,
        logins={one: user["login"] for one, user in mine.items()},
        accepted=name in mine and _hash(password) in mine[name]["passwords"],
        seen={one: _mark(user) for one, user in mine.items()},
        in_use=using,
        **more,
    )


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _mark(user: Mapping[str, Any]) -> str:
    """Return a fingerprint of a user's passwords, of which the server has only hashes."""
    return hashlib.sha256(" ".join(user["passwords"]).encode()).hexdigest()[:16]


def _in_use(server: redis.Server, names: Sequence[str]) -> list[str]:
    found = redis.clients(server.ask("CLIENT", "LIST"), names)
    return [f"{where}: {count} connection{'s' * (count > 1)}" for where, count in sorted(found.items())]


def _change(
    params: Mapping[str, Any],
    server: redis.Server,
    family: login.Family,
    name: str,
    password: str,
    held: Mapping[str, Mapping[str, Any]],
) -> tuple[bool, dict[str, Any]]:
    """Change what the state asks for; returns whether anything was changed, and more to tell."""
    users: dict[str, Mapping[str, Any]] = {one: held[one] for one in family.pair if one in held}
    may = {one: held[one]["login"] for one in held}
    if params["state"] == "enabled":
        if may.get(name):
            return False, {}
        _set(server, {**users, name: {**users[name], "login": True}}, [name])
        return True, {}
    if params["state"] == "prepared":
        if may.get(name) or params["expected"] != (_mark(users[name]) if name in users else ""):
            raise RotationError(f"another rotation is using user {name}")
        _set(server, {**users, name: {"login": False, "passwords": [password]}}, [name])
        return True, {}
    ends = family.old(name, may)
    if ends and not may.get(name):
        raise RotationError(f"{name} may not log in, so nothing is revoked: it would be the last one")
    _set(server, {**users, **{one: {"login": False, "passwords": []} for one in ends}}, ends)
    return bool(ends), {"closed": sum(server.ask("CLIENT", "KILL", "USER", one) for one in ends)}


def _set(server: redis.Server, users: Mapping[str, Mapping[str, Any]], changed: Sequence[str]) -> None:
    """Write the users for the server's next start, then tell the running one."""
    rules = {
        name: ["on" if user["login"] else "off", *(f"#{one}" for one in user["passwords"]), *RIGHTS]
        for name, user in sorted(users.items())
    }
    lines = ["# managed by sluice.stack", *(f"user {name} {' '.join(flags)}" for name, flags in rules.items())]
    write_atomic(USERS, "\n".join(lines) + "\n", mode=0o640, group="redis")
    for name in changed:
        server.ask("ACL", "SETUSER", name, "reset", *rules[name])


def _wait(server: redis.Server, names: Sequence[str], seconds: float) -> None:
    """Wait until nobody is connected as one of these. Raises RotationError."""
    until = time.monotonic() + seconds
    while users := _in_use(server, names):
        if time.monotonic() >= until:
            raise RotationError(
                f"the old login is still in use after {seconds:g} s, so it was not revoked: {'; '.join(users)}"
            )
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
