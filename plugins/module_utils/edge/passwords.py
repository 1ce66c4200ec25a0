# SPDX-License-Identifier: Apache-2.0
"""Passwords of basic auth: the names of their files, and what may be in them. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

Users = Mapping[str, Mapping[str, str]]  # user → secret, version

# bcrypt reads no more of a password, in bytes.
LONGEST_PASSWORD = 72
# Appended to an observed configuration.
MISSING = "# a file of passwords is missing\n"


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
