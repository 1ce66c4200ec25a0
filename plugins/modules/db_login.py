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
extends_documentation_fragment: [sluice.stack.group]
options:
  role:
    description: The role that owns the app's objects.
    type: str
    required: true
  url:
    description: A database URL with the login to look at, or with the new login for O(state=prepared). Its path is the database.
    type: str
    required: true
  state:
    description:
      - With V(observed) nothing is changed.
      - With V(prepared) the login of O(url) gets its password; it cannot log in yet.
      - With V(enabled) it can.
      - With V(unused) the module waits until nobody is connected as any other login of O(role).
      - With V(revoked) the other logins end, and with them their connections.
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
    default: 5432
attributes:
  check_mode:
    description: Only V(observed) and V(unused) do anything in check mode, and V(unused) does not wait.
    support: full
  diff_mode:
    description: Not supported; there is no diff.
    support: none
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

import hashlib
import os
import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sluice.stack.plugins.module_utils.postgres import host, logins
from ansible_collections.sluice.stack.plugins.module_utils.postgres.state import password_matches
from ansible_collections.sluice.stack.plugins.module_utils.rotation import login
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

ARGUMENTS: dict[str, Any] = {
    "argument_spec": {
        "role": {"type": "str", "required": True},
        "url": {"type": "str", "required": True, "no_log": True},
        "state": {
            "type": "str",
            "choices": ["observed", "prepared", "enabled", "unused", "revoked"],
            "default": "observed",
        },
        "expected": {"type": "str", "default": ""},
        "wait_seconds": {"type": "float", "default": 60},
        "port": {"type": "int", "default": 5432},
    },
    "supports_check_mode": True,
}
POLL_SECONDS = 0.5


def main() -> None:
    """Parse, look, change, exit."""
    module = AnsibleModule(**ARGUMENTS)
    params, role = module.params, module.params["role"]
    try:
        family = login.postgres(role)
        name, (_unused, password, database) = family.user(params["url"]), login.parts(params["url"])
        answer = _look(role, params["port"])
        changed, more = False, dict[str, Any]()
        if params["state"] == "unused":
            answer = _wait(role, name, answer, params, 0 if module.check_mode else params["wait_seconds"])
        elif params["state"] != "observed" and not module.check_mode:
            changed, more = _change(params, (name, password, database), answer)
            answer = _look(role, params["port"]) if changed else answer
    except (RotationError, host.NoAnswer) as error:
        module.fail_json(msg=f"role {role}: {error}")
    module.exit_json(changed=changed, **_told(role, name, password, answer), **more)


def _look(role: str, port: int) -> Any:
    answer = host.ask(logins.look(login.postgres(role).names), "postgres", port)
    if answer["standby"]:
        raise RotationError("this server is a standby: postgres_primary must name the primary")
    return answer


def _told(role: str, name: str, password: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the controller gets to know: no verifier."""
    held = answer["roles"]
    may = {one: bool(held[one]["login"]) for one in sorted(held)}
    return {
        "logins": may,
        "accepted": name in held and password_matches(password, held[name]["verifier"]),
        "seen": {one: _mark(held[one]["verifier"]) for one in sorted(held)},
        "in_use": {one: logins.in_use(answer, [one]) for one in login.postgres(role).names},
    }


def _mark(verifier: str) -> str:
    return hashlib.sha256(verifier.encode()).hexdigest()[:16]


def _change(
    params: Mapping[str, Any], new: tuple[str, str, str], answer: Mapping[str, Any]
) -> tuple[bool, dict[str, Any]]:
    """Change what the state asks for; returns whether anything was changed, and more to tell."""
    role, port, (name, password, database) = params["role"], params["port"], new
    held = answer["roles"]
    may = {one: held[one]["login"] for one in held}
    if params["state"] == "prepared":
        before = held.get(name, {"verifier": ""})["verifier"]
        if params["expected"] != (_mark(before) if name in held else ""):
            raise RotationError(f"another rotation is using role {name}")
        verifier = logins.verifier(password, os.urandom(logins.SALT_BYTES))
        host.ask(logins.prepare(name, role, database, verifier, before), "postgres", port)
        return True, {}
    if params["state"] == "enabled":
        if may.get(name):
            return False, {}
        host.ask(logins.enable(name), "postgres", port)
        return True, {}
    others = login.postgres(role).old(name, may)
    if not others:
        return False, {"closed": 0}
    if not may.get(name):
        raise RotationError(f"{name} may not log in, so nothing is revoked: it would be the last one")
    return True, {"closed": host.ask(logins.revoke(others), "postgres", port)}


def _wait(role: str, name: str, answer: Any, params: Mapping[str, Any], seconds: float) -> Any:
    """Wait until nobody is connected as another login. Raises RotationError."""
    others = login.postgres(role).others(name)
    until = time.monotonic() + seconds
    while users := logins.in_use(answer, others):
        if time.monotonic() >= until:
            raise RotationError(
                f"the old login is still in use after {seconds:g} s, so it was not revoked: {'; '.join(users)}"
            )
        time.sleep(POLL_SECONDS)
        answer = _look(role, params["port"])
    return answer


if __name__ == "__main__":
    main()
