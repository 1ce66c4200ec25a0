# SPDX-License-Identifier: Apache-2.0
"""One connection that never asks twice: what comes is a whole response, or an error that says what was missing."""

from __future__ import annotations

import json
import select
import socket
import ssl
from dataclasses import dataclass

# Who the server is, is another test's matter; this one counts what is dropped.
ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Ask:
    """One kind of request and the statuses that are a good answer to it."""

    method: str
    path: str
    body: bytes = b""
    expect: tuple[int, ...] = (200, 201, 204)


class Broken(Exception):
    """The answer is not a whole HTTP response; the message says in what way."""


@dataclass(frozen=True)
class Response:
    """One whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server said that it ends the connection."""
        return self.headers.get("connection", "").lower() == "close"

    def named(self, key: str) -> str | None:
        """What the response says of itself in a key of its JSON body."""
        if "json" not in self.headers.get("content-type", ""):
            return None
        try:
            data = json.loads(self.body)
        except ValueError as error:
            raise Broken(f"body is not JSON: {self.body[:80]!r}") from error
        return str(data[key]) if isinstance(data, dict) and isinstance(data.get(key), str) else None


@dataclass(frozen=True)
class Site:
    """Where connections go: an address, the host name they ask for, and whether over TLS."""

    host: str
    port: int
    name: str = ""
    tls: bool = False


class Stream:
    """One TCP connection, over TLS or not, read by lines and by bytes."""

    def __init__(self, site: Site, timeout: float) -> None:
        self._host = site.name or f"{site.host}:{site.port}"
        self._timeout = timeout
        self._socket = socket.create_connection((site.host, site.port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""
        self.certificate = b""  # of the server
        if site.tls:
            secure = ANY_CERTIFICATE.wrap_socket(self._socket, server_hostname=site.name or site.host)
            self.certificate = secure.getpeercert(binary_form=True) or b""
            self._socket = secure

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _response(self) -> Response:
        first = self._line()
        parts = first.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise Broken(f"not an HTTP response: {first[:80]!r}")
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(parts[1])
        return Response(status, headers, b"" if status in (101, 204, 304) else self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._line().split(";")[0], 16):
                body += self._bytes(size)
                self._bytes(2)
            self._line()
            return body
        if "content-length" not in headers:
            raise Broken("a response without a length: a cut one could not be told from a whole one")
        return self._bytes(int(headers["content-length"]))

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise Broken(f"the server closed the connection after {len(self._held)} unread bytes of the response")
        self._held += data

    def _line(self) -> str:
        while b"\r\n" not in self._held:
            self._more()
        line, _, self._held = self._held.partition(b"\r\n")
        return line.decode("latin-1")

    def _bytes(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        data, self._held = self._held[:count], self._held[count:]
        return data


class Connection(Stream):
    """One TCP connection that speaks HTTP/1.1 and hides nothing."""

    def ended(self) -> bool:
        """Whether the server has closed the connection, seen without writing. Raises Broken for bytes nobody asked for."""
        data = self._held
        if not data:
            if not select.select([self._socket], [], [], 0)[0]:
                return False
            self._socket.settimeout(0)
            try:
                data = self._socket.recv(100)
            except ssl.SSLWantReadError:
                return False  # what TLS itself has to say
            except OSError:
                return True
            finally:
                self._socket.settimeout(self._timeout)
        if data:
            raise Broken(f"the server sent bytes before it was asked: {data!r}")
        return True

    def exchange(self, ask: Ask, keep: bool) -> Response:
        """Send one request and read the whole answer. Raises Broken or OSError."""
        head = [f"{ask.method} {ask.path} HTTP/1.1", f"Host: {self._host}", "User-Agent: strict-load"]
        head.append(f"Connection: {'keep-alive' if keep else 'close'}")
        if ask.method == "POST":
            head += ["Content-Type: application/json", f"Content-Length: {len(ask.body)}"]
        self._socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + ask.body)
        return self._response()
