# SPDX-License-Identifier: Apache-2.0
"""Passwords of basic auth: the files that Nginx compares them with, made on the controller. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

try:
    import bcrypt
except ImportError:  # not on the hosts, and not needed on a controller without basic auth
    bcrypt = None  # type: ignore[assignment]

Users = Mapping[str, Mapping[str, str]]  # user → secret, version

# bcrypt reads no more of a password.
LONGEST_PASSWORD = 72
# Appended to an observed configuration.
MISSING = "# a file of passwords is missing\n"
# As htpasswd -B: Nginx compares at each request, for some 5 ms, and a worker does nothing else meanwhile.
COST = 5
_STANDARD, _BCRYPT = (
    f"{first}ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789{last}"
    for first, last in (("", "+/"), ("./", ""))
)


class PasswordError(Exception):
    """A password cannot be hashed; the message says what to do."""


def file_name(app: str, users: Users) -> str:
    """Return the name of the file with a set of users: a new password does not change it."""
    names = {user: item["secret"] for user, item in users.items()}
    return f"{app}.{hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()[:8]}.users"


def paths(config: str) -> set[str]:
    """Return the files that a rendered configuration names."""
    return set(re.findall(r"^ +auth_basic_user_file (\S+);$", config, re.MULTILINE))


def is_hash(password: str) -> bool:
    """Whether a secret is a hash already, as crypt(3) of an edge knows it: bcrypt, SHA-256 or SHA-512."""
    return bool(re.fullmatch(r"\$(2[aby]|5|6)\$[./A-Za-z0-9$=]{20,}", password))


def files(app: str, protection: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return file name → content of all files of an app. Raises PasswordError."""
    found = {}
    for level in (protection["default"], *protection["routes"]):
        users = level["basic_auth"]
        if users:
            lines = [
                f"{user}:{_hashed(app, user, str(secrets[item['secret']]))}" for user, item in sorted(users.items())
            ]
            found[file_name(app, users)] = "".join(f"{line}\n" for line in lines)
    return found


def _hashed(app: str, user: str, password: str) -> str:
    """Hash a password. The salt is the user's, not random: the same password gives the same file in every run."""
    if is_hash(password):
        return password
    if bcrypt is None:
        raise PasswordError(
            "basic_auth needs the Python package bcrypt on the controller: install it, or keep a hash made by htpasswd -nB in app_secrets"
        )
    digest = hashlib.sha256(f"sluice/{app}/{user}".encode()).digest()[:16]
    salt = base64.b64encode(digest).decode().rstrip("=").translate(str.maketrans(_STANDARD, _BCRYPT))
    return bcrypt.hashpw(password.encode(), f"$2b${COST:02}${salt}".encode()).decode()
