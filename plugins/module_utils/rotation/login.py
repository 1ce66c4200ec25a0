# SPDX-License-Identifier: Apache-2.0
"""The two logins of a database or cache that take turns, and the URL that has one of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError


def pair(role: str) -> tuple[str, str]:
    """Return the two logins of a role."""
    return f"{role}_a", f"{role}_b"


def family(role: str) -> tuple[str, ...]:
    """Return all logins that may be in use: before the first rotation that is the role itself."""
    return (role, *pair(role))


def parts(url: str) -> tuple[str, str, str]:
    """Return user, password and path of a URL. Raises RotationError; no part of the URL is in the message."""
    try:
        found = urlsplit(url)
        user, password = unquote(found.username or ""), unquote(found.password or "")
    except ValueError:
        found, user, password = urlsplit(""), "", ""
    if not found.scheme or not found.netloc:
        raise RotationError(
            "its value is no URL with a user and a password (special characters must be percent-encoded)"
        )
    return user, password, unquote(found.path.lstrip("/"))


def with_login(url: str, user: str, password: str) -> str:
    """Return the URL with another user and password."""
    found = urlsplit(url)
    place = found.netloc.rpartition("@")[2]
    return urlunsplit(found._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"))


def next_login(role: str, current: str, logins: Mapping[str, bool]) -> str:
    """Return the login to make ready: the one of the pair that nobody can use. ``logins``: which exist, and may log in. Raises RotationError."""
    free = [name for name in pair(role) if not logins.get(name)]
    if not free:
        raise RotationError(
            f"both {' and '.join(pair(role))} may log in, and the stored value has the password of neither: "
            "set the store to the one that the live release uses, then run it again"
        )
    return next((name for name in free if name != current), free[0])


def old(role: str, current: str, logins: Mapping[str, bool]) -> tuple[str, ...]:
    """Return the logins beside the current one."""
    return tuple(name for name in family(role) if name != current and logins.get(name))


def require_member(role: str, current: str) -> None:
    """Refuse a value whose user is no login of the role."""
    if current not in family(role):
        names: Collection[str] = family(role)
        raise RotationError(
            f"its user is {current!r}, which is none of {', '.join(names)}: set role to the one that owns the app's objects"
        )
