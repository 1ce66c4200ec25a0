# SPDX-License-Identifier: Apache-2.0
"""Keys that a command of the user's makes and ends, as at a provider's API: what it is asked, and what its answers mean. Pure.

It gets one word as its last argument and JSON on its standard input, so no key is in an argument:

    list      answers ``{"valid": true, "others": {"key-17": ["last used at 10:02"]}}``: whether the stored key works, and by name all others that do,
              with who uses them
    create    makes a key, and prints it and nothing else
    revoke    ends all keys but the stored one

Revoking all but one also ends a key that a killed run made and nobody stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError
from ansible_collections.sluice.stack.plugins.module_utils.rotation.turns import Look
from ansible_collections.sluice.stack.plugins.module_utils.terminal import harmless

LIST, CREATE, REVOKE = "list", "create", "revoke"
STORED, MADE = "the stored key", "a new key"
_NAME = re.compile(r"[A-Za-z0-9_.:@/+-]{1,100}")


@dataclass(frozen=True)
class Keys:
    """The family of a provider's keys: that in the store, and all others."""

    enables: bool = False  # a key works as soon as it is made

    def user(self, value: str) -> str:
        """Return what the stored one is called."""
        del value
        return STORED

    def ends(self, name: str) -> bool:
        """Return whether a rotation ends that when it is not in use any more."""
        return name != MADE

    def old(self, current: str, may: Mapping[str, bool]) -> tuple[str, ...]:
        """Return the others."""
        return tuple(sorted(name for name in may if name not in (STORED, current)))

    def next(self, current: str, may: Mapping[str, bool]) -> str:
        """Return what the one is called that is to be made."""
        del current, may
        return MADE

    def renewed(self, value: str, new: str, password: str) -> str:
        """Return the value as it is: the command makes the new one."""
        del new, password
        return value


def question(app: str, environment: str, secret: str, value: str) -> str:
    """Return what the command reads."""
    return json.dumps({"app": app, "environment": environment, "secret": secret, "value": value})


def look(answer: str) -> tuple[bool, Look]:
    """Return whether the stored key works, and all keys. Raises RotationError, without what was printed: that may be a key."""
    try:
        told = json.loads(answer)
        valid, others = told["valid"], told["others"]
        in_use = {str(name): [harmless(str(line)) for line in lines] for name, lines in others.items()}
        if not isinstance(valid, bool) or any(isinstance(lines, str) for lines in others.values()):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RotationError(
            'its answer to list must be {"valid": true or false, "others": {name: [who uses it, ...]}}'
        ) from None
    if any(not _NAME.fullmatch(name) for name in in_use):
        raise RotationError(f"its answer to list has a name that is not of the form {_NAME.pattern}")
    return valid, Look({STORED: valid, **dict.fromkeys(in_use, True)}, {}, in_use)


def made(answer: str, value: str) -> str:
    """Return the new key. Raises RotationError."""
    key = answer.strip()
    if not key or "\n" in key or key == value:
        raise RotationError("its answer to create must be one line, the new key")
    return key


def reason(code: int, said: str, *hidden: str) -> str:
    """Return why the command failed: its last line, without a key."""
    lines = said.strip().splitlines()
    last = harmless(lines[-1].strip())[:200] if lines else ""
    for one in hidden:
        last = last.replace(one, "***") if one else last
    return f"exit code {code}{': ' + last if last else ''}"
