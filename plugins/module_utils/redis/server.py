# SPDX-License-Identifier: Apache-2.0
"""Ask the Redis server of this host, over its own protocol: a password is in no argument and in no environment.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import Any

SECONDS = 10.0
SETTINGS = "/etc/redis/sluice-password.conf"


class RedisError(Exception):
    """The server does not answer, or refuses; the message has no password."""


def admin_password(path: str = SETTINGS) -> str:
    """Return the password of the default user, which the role redis wrote. Raises RedisError."""
    try:
        with open(path, encoding="utf-8") as handle:
            found = re.search(r'^requirepass "(.*)"$', handle.read(), re.MULTILINE)
    except OSError:
        found = None
    if not found:
        raise RedisError(f"{path} has no password: is this a host of the role redis?")
    return found[1]


class Server:
    """A connection as the default user."""

    def __init__(self, port: int, password: str) -> None:
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        except OSError as error:
            raise RedisError(f"nothing answers at port {port}: {error.strerror or error}") from None
        self._stream = self._socket.makefile("rb")
        self.ask("AUTH", password)

    def ask(self, *words: str) -> Any:
        """Return the answer to a command: text, a number, None or a list. Raises RedisError."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        try:
            self._socket.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            return self._answer()
        except OSError as error:
            raise RedisError(f"it does not answer {words[0]}: {error}") from None

    def _answer(self) -> Any:
        line = self._stream.readline().decode().rstrip("\r\n")
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise RedisError(f"it refuses: {rest[:100]}")
        if kind == "+":
            return rest
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else self._stream.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [self._answer() for _unused in range(int(rest))]
        raise RedisError("it ended the connection")


def users(lines: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the users of ``ACL LIST``: whether each may log in, and the hashes of its passwords."""
    found = {}
    for line in lines:
        _unused, name, *flags = line.split()
        found[name] = {"login": "on" in flags, "passwords": sorted(flag[1:] for flag in flags if flag.startswith("#"))}
    return found


def in_use(text: str, name: str) -> list[str]:
    """Return the connections of a user in ``CLIENT LIST``, a line for each address."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        fields = dict(part.partition("=")[::2] for part in line.split(" "))
        if fields.get("user") == name:
            place = fields.get("addr", "").rpartition(":")[0]
            found[place] = found.get(place, 0) + 1
    return [f"{name} from {place}: {count} connection{'s' * (count > 1)}" for place, count in sorted(found.items())]
