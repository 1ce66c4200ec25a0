# SPDX-License-Identifier: Apache-2.0
"""The two logins of a database or cache that take turns, and the URL that has one of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError


class Credentials(Protocol):
    """What may be in use of one secret, by name."""

    @property
    def enables(self) -> bool:
        """Whether a new one cannot be used until it is let in."""

    def user(self, value: str) -> str:
        """Return whose value it is. Raises RotationError."""

    def ends(self, name: str) -> bool:
        """Return whether a rotation ends that when it is not in use any more."""

    def old(self, current: str, may: Mapping[str, bool]) -> tuple[str, ...]:
        """Return which others can be used."""

    def next(self, current: str, may: Mapping[str, bool]) -> str:
        """Return the one to make. Raises RotationError."""

    def renewed(self, value: str, new: str, password: str) -> str:
        """Return the value with a new one."""


@dataclass(frozen=True)
class Family:
    """The logins of an app at one server."""

    base: str  # the two that take turns are called <base>_a and <base>_b
    first: str  # what is in use before the first rotation
    ends_first: bool  # whether a rotation ends that, too
    enables: bool = True

    @property
    def pair(self) -> tuple[str, str]:
        """The two that take turns."""
        return f"{self.base}_a", f"{self.base}_b"

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be in use."""
        return (self.first, *self.pair)

    def user(self, url: str) -> str:
        """Return whose URL it is. Raises RotationError for somebody else's."""
        found = parts(url)[0] or self.first
        if found not in self.names:
            raise RotationError(f"its user is {found!r}, which is none of {', '.join(self.names)}: see app_rotations")
        return found

    def ends(self, name: str) -> bool:
        """Return whether a rotation ends that when it is not in use any more."""
        return self.ends_first or name != self.first

    def old(self, current: str, may: Mapping[str, bool]) -> tuple[str, ...]:
        """Return which others may log in, and end."""
        return tuple(name for name in self.names if name != current and self.ends(name) and may.get(name))

    def next(self, current: str, may: Mapping[str, bool]) -> str:
        """Return the login to make ready: the one of the pair that nobody can use. ``may``: which exist, and may log in. Raises RotationError."""
        free = [name for name in self.pair if not may.get(name)]
        if not free:
            raise RotationError(
                f"both {' and '.join(self.pair)} may log in, and the stored value has the password of neither: "
                "set the store to the one that the live release uses, then run it again"
            )
        return next((name for name in free if name != current), free[0])

    def renewed(self, value: str, new: str, password: str) -> str:
        """Return the URL with another login."""
        return with_login(value, new, password)


def postgres(role: str) -> Family:
    """Return the logins that act as a role of Postgres; before the first rotation that is the role itself."""
    return Family(role, role, ends_first=True)


def redis(user: str) -> Family:
    """Return the users of Redis's access control list. The default user stays: by it the server is administered."""
    return Family(user, "default", ends_first=False)


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
