# SPDX-License-Identifier: Apache-2.0
"""One HTTP request to a port or Unix socket with ``http.client`` and a total timeout."""

from __future__ import annotations

import http.client
import io
import json
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import ssl

Address: TypeAlias = "str | tuple[str, int]"  # a Unix socket's path, or host and port


class NoAnswer(Exception):
    """No response, or not in time, or not HTTP."""


class Answer(NamedTuple):
    """A response; ``headers`` by name in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def data(self) -> Any:
        """Parse the body as JSON; None when it is not JSON, or empty."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def beginning(self) -> str:
        """Return the first part of the body, for messages."""
        return self.body[:300].decode(errors="replace").strip()


def request(
    address: Address,
    method: str,
    target: str,
    body: Any = None,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    limit: int | None = None,
    tls: str = "",
) -> Answer:
    """Send ``body`` as JSON and return the response, at most ``limit`` bytes of it, within ``timeout`` seconds. Raises NoAnswer.

    ``tls`` is the server's name for a request over TLS. Its certificate is not checked: the address is this host's own, and a first
    certificate may not be there yet.
    """
    status, given, pieces = stream(address, method, target, body, timeout=timeout, headers=headers, tls=tls)
    whole = bytearray()  # a bytearray grows in place: an archive may have many megabytes in thousands of chunks
    with closing(pieces):
        for piece in pieces:
            whole += piece
            if limit is not None and len(whole) >= limit:
                break
    return Answer(status, given, bytes(whole))


def stream(
    address: Address,
    method: str,
    target: str,
    body: Any = None,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    tls: str = "",
) -> tuple[int, dict[str, str], Generator[bytes, None, None]]:
    """Like ``request``; returns the status, the headers, and the body in chunks."""
    connection = _Connection(address, timeout, tls)
    payload = None if body is None else json.dumps(body).encode()
    kind = {} if payload is None else {"Content-Type": "application/json"}
    try:
        connection.request(method, target, payload, {"Connection": "close", **kind, **(headers or {})})
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise NoAnswer(_reason(error)) from error
    found = {name.lower(): value for name, value in response.getheaders()}
    return response.status, found, _pieces(response)


def _pieces(response: http.client.HTTPResponse) -> Generator[bytes, None, None]:
    with closing(response):
        try:
            while piece := response.read1(65536):
                yield piece
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswer(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, http.client.RemoteDisconnected):
        return f"not an HTTP response: {str(error)[:80].strip()!r}"
    return str(error) or type(error).__name__


class _Connection(http.client.HTTPConnection):
    """A connection to a port or Unix socket; reads end at the deadline."""

    def __init__(self, address: Address, timeout: float, tls: str = "") -> None:
        host, port = ("localhost", None) if isinstance(address, str) else address
        super().__init__(host, port, timeout=timeout)
        self._address, self._deadline, self._tls = address, time.monotonic() + timeout, tls
        self.response_class = self._response  # type: ignore[assignment]

    def connect(self) -> None:
        if not isinstance(self._address, str):
            super().connect()
            if self._tls:
                self.sock = _insecure().wrap_socket(self.sock, server_hostname=self._tls)
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)

    def _response(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(_Timed(sock, self._deadline), **options)  # type: ignore[arg-type]


def _insecure() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - slow to load, and few requests need it

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Timed(io.RawIOBase):
    """Reads a socket until the deadline. A socket's own timeout restarts with each chunk."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket, self._deadline = sock, deadline
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open after the connection released it

    def makefile(self, _unused: str) -> io.BufferedReader:
        """Return the file that an HTTPResponse reads from."""
        return io.BufferedReader(self, 65536)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
