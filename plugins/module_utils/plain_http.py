# SPDX-License-Identifier: Apache-2.0
"""One request over HTTP, to a port, with or without TLS, or to a Unix socket: an answer ends where its connection does.

Importing ``http.client`` takes a Python longer than all the requests of a step take, and every step is a new Python.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

Address: TypeAlias = "str | tuple[str, int]"  # a Unix socket's path, or host and port


class NoAnswer(Exception):
    """Nothing answers there, or not in time, or not in HTTP."""


class Answer(NamedTuple):
    """An answer; ``headers`` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def data(self) -> Any:
        """The body as JSON; None when it is something else, or empty."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def beginning(self) -> str:
        """The first part of the body, for messages."""
        chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        body = b"".join(_chunks(self.body)) if chunked else self.body
        return body[:300].decode(errors="replace").strip()


def request(
    address: Address,
    method: str,
    target: str,
    body: Any = None,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    version: str = "1.0",
    limit: int | None = None,
    authorities: str | None = None,
) -> Answer:
    """Ask, with ``body`` as JSON, and have the whole answer (or ``limit`` bytes of it) within ``timeout`` seconds. Raises NoAnswer.

    With ``authorities`` it is asked over TLS: a file of certificates that are trusted beside the system's, where there is such a file.
    A server answers version 1.0 (RFC 1945) without chunks. Apps are asked in 1.1, as their visitors do; the body may then be in chunks.
    """
    status, given, pieces = stream(
        address, method, target, body, timeout=timeout, headers=headers, version=version, authorities=authorities
    )
    whole = b""
    with closing(pieces):
        for piece in pieces:
            whole += piece
            if limit is not None and len(whole) >= limit:
                break
    return Answer(status, given, whole)


def stream(
    address: Address,
    method: str,
    target: str,
    body: Any = None,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    version: str = "1.0",
    authorities: str | None = None,
) -> tuple[int, dict[str, str], Generator[bytes, None, None]]:
    """As ``request``; status, headers, and the body in the pieces it comes in."""
    deadline = time.monotonic() + timeout
    try:
        connection = _connect(address, timeout)
        if authorities is not None:
            connection = _secured(connection, address[0], authorities)
    except OSError as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
    try:
        connection.sendall(_head(method, target, body, headers or {}, version))
        text = b""
        while b"\r\n\r\n" not in text:
            piece = _receive(connection, deadline)
            if not piece:
                raise NoAnswer(f"not an HTTP answer: {text[:80].decode(errors='replace').strip()!r}")
            text += piece
        head, _unused, first = text.partition(b"\r\n\r\n")
        begin, *lines = head.decode("latin-1").split("\r\n")
        status = int(begin.split(maxsplit=2)[1])
    except (OSError, ValueError, IndexError) as error:
        connection.close()
        raise NoAnswer(str(error) or type(error).__name__) from error
    except NoAnswer:
        connection.close()
        raise
    fields = (line.partition(":") for line in lines)
    return status, {name.lower(): value.strip() for name, _unused, value in fields}, _body(connection, first, deadline)


def _chunks(raw: bytes) -> Generator[bytes, None, None]:
    """A body without its chunks' sizes (RFC 9112, 7.1), as far as it came."""
    while raw:
        size, _unused, raw = raw.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            return
        yield raw[:length]
        raw = raw[length + 2 :]


def _connect(address: Address, timeout: float) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _secured(connection: socket.socket, name: str, authorities: str) -> socket.socket:
    import ssl  # noqa: PLC0415 - most steps do without

    context = ssl.create_default_context()
    try:
        if os.path.exists(authorities):
            context.load_verify_locations(authorities)
        return context.wrap_socket(connection, server_hostname=name)
    except OSError:
        connection.close()
        raise


def _head(method: str, target: str, body: Any, headers: Mapping[str, str], version: str) -> bytes:
    payload = b"" if body is None else json.dumps(body).encode()
    lines = {"Host": "localhost", "Connection": "close", **headers}
    if method != "GET":
        lines["Content-Length"] = str(len(payload))
    if payload:
        lines["Content-Type"] = "application/json"
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/{version}\r\n{head}\r\n".encode() + payload


def _receive(connection: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise NoAnswer("timed out")
    connection.settimeout(left)
    try:
        return connection.recv(65536)
    except OSError as error:
        raise NoAnswer(str(error) or type(error).__name__) from error


def _body(connection: socket.socket, first: bytes, deadline: float) -> Generator[bytes, None, None]:
    with closing(connection):
        piece = first or _receive(connection, deadline)
        while piece:
            yield piece
            piece = _receive(connection, deadline)
