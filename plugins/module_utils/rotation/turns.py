# SPDX-License-Identifier: Apache-2.0
"""What a module does for each state of logins that take turns; only the server differs.

``changes`` decides and is pure, ``reach`` does what it says.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.sluice.stack.plugins.module_utils.rotation.login import Credentials
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

OBSERVED, PREPARED, ENABLED, UNUSED, REVOKED = "observed", "prepared", "enabled", "unused", "revoked"
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Look:
    """The logins of a family that exist."""

    may: Mapping[str, bool]  # whether each may log in
    held: Mapping[str, str] = field(repr=False)  # what the server has of its password: a verifier, or hashes
    in_use: Mapping[str, Sequence[str]]  # who is connected as it, a line each

    @property
    def marks(self) -> dict[str, str]:
        """A fingerprint of each login's password."""
        return {name: hashlib.sha256(held.encode()).hexdigest()[:16] for name, held in sorted(self.held.items())}


class Server(Protocol):
    """Where the logins are checked."""

    def look(self) -> Look:
        """Return the logins."""

    def knows(self, name: str, url: str) -> bool:
        """Return whether a URL has the password of a login of the last look."""

    def prepare(self, name: str, url: str) -> None:
        """Give a login the password of a URL; it cannot log in yet."""

    def enable(self, name: str) -> None:
        """Let it log in."""

    def revoke(self, names: Sequence[str]) -> int:
        """End logins; returns how many connections that closed."""


def arguments(owner: str, port: int) -> dict[str, Any]:
    """Return the options of a module; ``owner`` is what the family is called after."""
    return {
        "argument_spec": {
            owner: {"type": "str", "required": True},
            "url": {"type": "str", "required": True, "no_log": True},
            "state": {
                "type": "str",
                "choices": [OBSERVED, PREPARED, ENABLED, UNUSED, REVOKED],
                "default": OBSERVED,
            },
            "expected": {"type": "str", "default": ""},
            "wait_seconds": {"type": "float", "default": 60},
            "port": {"type": "int", "default": port},
        },
        "supports_check_mode": True,
    }


def changes(state: str, family: Credentials, user: str, look: Look, expected: str) -> tuple[str, ...]:
    """Return the logins that a state changes; ``user`` is that of the URL. Raises RotationError."""
    if state == PREPARED:
        if look.may.get(user) or expected != look.marks.get(user, ""):
            raise RotationError(f"another rotation is using {user}")
        return (user,)
    if state == ENABLED:
        return () if look.may.get(user) else (user,)
    if state == REVOKED:
        ends = family.old(user, look.may)
        if ends and not look.may.get(user):
            raise RotationError(f"{user} may not log in, so nothing is revoked: it would be the last one")
        return ends
    return ()


def reach(server: Server, family: Credentials, params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Bring the logins to ``params``' state, and return what the controller gets to know: no password. Raises RotationError."""
    state, url = params["state"], params["url"]
    user = family.user(url)
    look = server.look()
    if state == UNUSED:
        look = _unused(server, family, user, look, 0 if check_mode else params["wait_seconds"])
    names = () if check_mode else changes(state, family, user, look, params["expected"])
    more: dict[str, Any] = {"closed": 0} if state == REVOKED else {}
    if names:
        if state == PREPARED:
            server.prepare(user, url)
        elif state == ENABLED:
            server.enable(user)
        else:
            more["closed"] = server.revoke(names)
        look = server.look()
    return {
        "changed": bool(names),
        "logins": dict(sorted(look.may.items())),
        "accepted": user in look.may and server.knows(user, url),
        "seen": look.marks,
        "in_use": {name: list(lines) for name, lines in look.in_use.items()},
        **more,
    }


def _unused(server: Server, family: Credentials, user: str, look: Look, seconds: float) -> Look:
    """Wait until nobody is connected as one that ends. Raises RotationError."""
    until = time.monotonic() + seconds
    while users := [
        line for name, lines in look.in_use.items() if name != user and family.ends(name) for line in lines
    ]:
        if time.monotonic() >= until:
            raise RotationError(
                f"the old login is still in use after {seconds:g} s, so it was not revoked: {'; '.join(users)}"
            )
        time.sleep(POLL_SECONDS)
        look = server.look()
    return look
