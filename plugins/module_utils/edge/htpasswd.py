# SPDX-License-Identifier: Apache-2.0
"""The content of files of passwords, hashed on the controller. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge.passwords import file_name, is_hash

try:
    import bcrypt
except ImportError:  # only needed with basic_auth
    bcrypt = None  # type: ignore[assignment]

# As htpasswd -B: Nginx compares at each request, for some 3 ms, and a worker does nothing else meanwhile.
COST = 5
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TO_BCRYPT = str.maketrans(f"{_ALPHABET}+/", f"./{_ALPHABET}")  # of base64


class PasswordError(Exception):
    """A password cannot be hashed; the message says what to do."""


def files(app: str, protection: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return file name → content of all files of an app. Raises PasswordError."""
    found = {}
    for level in (protection["default"], *protection["routes"]):
        users = level["basic_auth"]
        if users:
            lines = [
                f"{user}:{_hashed(app, user, str(secrets[one['secret']]))}\n" for user, one in sorted(users.items())
            ]
            found[file_name(app, users)] = "".join(lines)
    return found


def lines(scope: str, users: Mapping[str, str]) -> str:
    """Return the content of one file: user → password. ``scope`` is what it is for: the same password has another hash elsewhere. Raises PasswordError."""
    return "".join(f"{user}:{_hashed(scope, user, str(password))}\n" for user, password in sorted(users.items()))


def _hashed(app: str, user: str, password: str) -> str:
    """Hash a password. The salt is the user's, not random: the same password gives the same file in every run."""
    if is_hash(password):
        return password
    if bcrypt is None:
        raise PasswordError(
            "basic_auth needs the Python package bcrypt on the controller: install it, or keep a hash made by htpasswd -nB in app_secrets"
        )
    digest = hashlib.sha256(f"sluice/{app}/{user}".encode()).digest()[:16]
    salt = base64.b64encode(digest).decode().rstrip("=").translate(_TO_BCRYPT)
    return bcrypt.hashpw(password.encode(), f"$2b${COST:02}${salt}".encode()).decode()
