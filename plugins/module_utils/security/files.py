# SPDX-License-Identifier: Apache-2.0
"""Files of a host that anybody on it can read although they hold a secret, or change although root relies on them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any

# Where secrets are by design: ours, and those of the programs we set up.
SECRET = re.compile(
    r"^/(etc/sluice/(certificates|backup|restic|files|postgres)/.*\.(json|key|env|conf|pass\w*)"
    r"|var/lib/sluice/apps/[^/]+/secrets/.*"
    r"|var/lib/sluice-tls/.*\.pem"
    r"|etc/(shadow|gshadow)-?"
    r"|etc/ssh/ssh_host_\w+_key"
    r"|etc/pgbackrest(\.conf|/.*\.conf)"
    r"|etc/redis/.*\.conf"
    r"|.*/\.docker/config\.json"
    r"|.*/\.(pgpass|netrc|my\.cnf|git-credentials)"
    r"|.*/\.ssh/id_\w+"
    r"|.*/(\.env(\.\w+)?|credentials|vault[\w-]*pass\w*))$"
)
# Looked at: what people and programs configure. Not the package's own part of the system, which dpkg knows.
ROOTS = (
    "/etc",
    "/root",
    "/home",
    "/opt",
    "/srv",
    "/usr/local",
    "/var/lib/sluice",
    "/var/lib/sluice-tls",
    "/var/lib/sluice-edge",
)
# Skipped: large, and made by programs.
SKIP = frozenset(("node_modules", ".git", "site-packages", "__pycache__", "docs", "doc"))
MOST, HEAD = 60_000, 4096
KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")


def look() -> dict[str, Any]:
    """Return files with secrets that are ``readable`` by anybody, what is ``writable`` by anybody, and how many were ``seen``."""
    readable, writable, seen = [], [], 0
    for root in ROOTS:
        for path, status in _walk(root, _passable(root)):
            seen += 1
            if seen > MOST:
                return {"missing": f"more than {MOST} files below {', '.join(ROOTS)}"}
            mode = status.st_mode
            if mode & 0o002 and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
                writable.append(path)
            if stat.S_ISREG(mode) and mode & 0o004 and (SECRET.match(path) or _holds_key(path, status)):
                readable.append(path)
    return {"readable": sorted(readable), "writable": sorted(writable), "seen": seen}


def _passable(path: str) -> bool:
    """Whether anybody can get to a directory."""
    while path != "/":
        try:
            if not os.stat(path).st_mode & 0o001:
                return False
        except OSError:
            return False
        path = os.path.dirname(path)
    return True


def _walk(folder: str, passable: bool) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what anybody can get to below a directory: no links, no other file systems."""
    if not passable:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode) or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            continue
        yield entry.path, status
        if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o001 and entry.name not in SKIP:
            yield from _walk(entry.path, passable=True)


def _holds_key(path: str, status: os.stat_result) -> bool:
    """Whether a file begins with a private key, or has one behind its certificates."""
    if not 0 < status.st_size < 65536:
        return False
    try:
        with open(path, "rb", opener=_untouched) as handle:
            return bool(KEY.search(handle.read(HEAD * 4)))
    except OSError:
        return False


def _untouched(path: str, flags: int) -> int:
    """Open without a new time of access, where this user may."""
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)
