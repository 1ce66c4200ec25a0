# SPDX-License-Identifier: Apache-2.0
"""A connection to Postgres with nothing but Python's standard library, for hosts that have neither psql nor a driver.

Protocol 3.0 (https://www.postgresql.org/docs/current/protocol.html), as far as migrations need it: TLS, log-in by SCRAM-SHA-256 (RFC 7677)
or in clear over TLS, simple queries. See docs/decisions/0007-small-host-modules.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

SSL_MODES = ("disable", "allow", "prefer", "require", "no-verify", "verify-ca", "verify-full")
Row = dict[str, "str | None"]


class DatabaseError(Exception):
    """The database cannot be used, or refused a statement; ``sqlstate`` is Postgres' code for it, when it came from there."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


@dataclass(frozen=True)
class Address:
    """Where a database is and who asks, from its URL."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    sslmode: str = "prefer"
    sslrootcert: str | None = None

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a ``postgresql://`` URL; raises DatabaseError, whose message has no part of a URL that may hold a password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 5432
        except ValueError:
            host, port = None, 5432
        if not host or parts.scheme not in ("postgresql", "postgres"):
            raise DatabaseError("is not a postgresql:// URL (special characters in a password must be percent-encoded)")
        query = dict(parse_qsl(parts.query))
        mode = query.get("sslmode", "prefer")
        if mode not in SSL_MODES:
            raise DatabaseError(f"has sslmode={mode}: it must be one of {', '.join(SSL_MODES)}")
        user = unquote(parts.username or "postgres")
        name = unquote(parts.path.lstrip("/")) or user
        return cls(host, port, user, unquote(parts.password or ""), name, mode, query.get("sslrootcert"))

    def __str__(self) -> str:
        return f"database {self.database!r} on {self.host}:{self.port} as {self.user!r}"


def with_options(url: str, settings: Mapping[str, str]) -> str:
    """The URL with session settings in its ``options``, which libpq, node-postgres, pgx, JDBC and Prisma's engines hand on."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    said = [query["options"]] if query.get("options") else []
    query["options"] = " ".join([*said, *(f"-c {name}={value}" for name, value in settings.items())])
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def literal(text: str) -> str:
    """A string literal of SQL."""
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"


class Connection:
    """An open session. ``timeout`` bounds each wait for the server, in seconds."""

    def __init__(self, address: Address, settings: Mapping[str, str] | None = None, timeout: float = 30) -> None:
        """Connect and log in; raises DatabaseError with what to do."""
        self._address = address
        self.parameters: dict[str, str] = {}
        try:
            self._socket = socket.create_connection((address.host, address.port), timeout=min(timeout, 10))
        except socket.gaierror as error:
            raise DatabaseError(f"{address}: no such host name ({error.strerror})") from error
        except OSError as error:
            raise DatabaseError(
                f"{address}: cannot be reached ({error.strerror or error}): is Postgres up, and does its firewall let this host in?"
            ) from error
        try:
            self._secure()
            self._socket.settimeout(timeout)
            self._log_in(dict(settings or {}))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def version(self) -> int:
        """The server's major version."""
        return int(self.parameters.get("server_version", "0").split(".")[0].split()[0])

    def query(self, sql: str, timeout: float | None = None) -> list[Row]:
        """Run one or more statements as they are; the rows of the last one that has any. Raises DatabaseError."""
        self._socket.settimeout(timeout or self._socket.gettimeout())
        self._send(b"Q", sql.encode() + b"\0")
        names: list[str] = []
        rows: list[Row] = []
        failures: list[DatabaseError] = []
        while True:
            kind, body = self._receive()
            if kind == b"T":
                names, rows = _names(body), []
            elif kind == b"D":
                rows.append(dict(zip(names, _values(body), strict=True)))
            elif kind == b"E":
                failures.append(_failure(body))
            elif kind in (b"G", b"H", b"W"):
                raise DatabaseError("COPY is not for migrations: the data would have to come from the client")
            elif kind == b"Z":
                if failures:
                    raise failures[-1]
                return rows

    def close(self) -> None:
        """End the session."""
        try:
            self._send(b"X", b"")
        except DatabaseError:
            pass  # it is gone already
        finally:
            self._socket.close()

    def _secure(self) -> None:
        """Change to TLS, as the URL's sslmode says."""
        mode = self._address.sslmode
        if mode in ("disable", "allow"):
            return
        self._raw(struct.pack("!ii", 8, 80877103))
        if self._exactly(1) != b"S":
            if mode != "prefer":
                raise DatabaseError(f"{self._address}: the server has no TLS, and the URL wants sslmode={mode}")
            return
        context = ssl.create_default_context(cafile=self._address.sslrootcert)
        context.check_hostname = mode == "verify-full"
        if not mode.startswith("verify"):
            context.verify_mode = ssl.CERT_NONE  # as libpq: encrypted, and whoever answers is believed
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=self._address.host)
        except (OSError, ssl.SSLError) as error:
            raise DatabaseError(
                f"{self._address}: no TLS connection ({error}): check sslrootcert in the URL"
            ) from error

    def _log_in(self, settings: Mapping[str, str]) -> None:
        parameters = {
            "user": self._address.user,
            "database": self._address.database,
            "client_encoding": "UTF8",
            **settings,
        }
        text = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items()) + b"\0"
        self._raw(struct.pack("!ii", len(text) + 8, 196608) + text)
        scram: _Scram | None = None
        while True:
            kind, body = self._receive()
            if kind == b"E":
                failure = _failure(body)
                raise DatabaseError(f"{self._address}: {failure}", failure.sqlstate)
            if kind == b"S":
                name, value = body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif kind == b"Z":
                return
            elif kind == b"R":
                scram = self._authenticate(struct.unpack("!i", body[:4])[0], body[4:], scram)

    def _authenticate(self, wanted: int, body: bytes, scram: _Scram | None) -> _Scram | None:
        """Answer one request of the server's: 0 is done, 3 a password in clear, 10 to 12 the steps of SASL."""
        if wanted == 3:
            if not isinstance(self._socket, ssl.SSLSocket):
                raise DatabaseError(
                    f"{self._address}: the server wants the password in clear without TLS; use scram-sha-256"
                )
            self._send(b"p", self._address.password.encode() + b"\0")
        elif wanted == 10 and b"SCRAM-SHA-256\0" in body:
            scram = _Scram(self._address.password)
            first = scram.first()
            self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        elif wanted == 11 and scram:
            self._send(b"p", scram.final(body))
        elif wanted == 12 and scram:
            if not scram.proved(body):
                raise DatabaseError(
                    f"{self._address}: the server does not know the password itself; is it the right one?"
                )
        elif wanted != 0:
            raise DatabaseError(
                f"{self._address}: the server wants a log-in of kind {wanted}; scram-sha-256 is what this can do"
            )
        return scram

    def _send(self, kind: bytes, body: bytes) -> None:
        self._raw(kind + struct.pack("!i", len(body) + 4) + body)

    def _raw(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise DatabaseError(f"{self._address}: the connection broke ({error})") from error

    def _receive(self) -> tuple[bytes, bytes]:
        """The next message; notices and changed settings are read past."""
        head = self._exactly(5)
        return head[:1], self._exactly(struct.unpack("!i", head[1:])[0] - 4)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                piece = self._socket.recv(count - len(found))
            except TimeoutError as error:
                raise DatabaseError(f"{self._address}: no answer within {self._socket.gettimeout():g} s") from error
            except OSError as error:
                raise DatabaseError(f"{self._address}: the connection broke ({error})") from error
            if not piece:
                raise DatabaseError(f"{self._address}: the server ended the connection")
            found += piece
        return found


class _Scram:
    """The client's part of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        self._user = ""  # Postgres takes it from the start of the session
        self._signature = b""

    @property
    def _first(self) -> str:
        return f"n={self._user},r={self._nonce}"

    def first(self) -> bytes:
        return f"n,,{self._first}".encode()

    def final(self, challenge: bytes) -> bytes:
        given = dict(part.split("=", 1) for part in challenge.decode().split(","))
        if not given["r"].startswith(self._nonce):
            raise DatabaseError("the server's log-in is not an answer to ours")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(given["s"]), int(given["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"c=biws,r={given['r']}"
        message = f"{self._first},{challenge.decode()},{bare}".encode()
        proof = bytes(
            a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), message, "sha256"), strict=True)
        )
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def proved(self, answer: bytes) -> bool:
        return hmac.compare_digest(answer, b"v=" + base64.b64encode(self._signature))


def _names(body: bytes) -> list[str]:
    """The columns of a row description."""
    names, at = [], 2
    for _unused in range(struct.unpack("!h", body[:2])[0]):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


def _values(body: bytes) -> Sequence[str | None]:
    values: list[str | None] = []
    at = 2
    for _unused in range(struct.unpack("!h", body[:2])[0]):
        size = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode(errors="replace"))
        at += max(size, 0)
    return values


def _failure(body: bytes) -> DatabaseError:
    """Postgres' own words, with its code."""
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    detail = f" ({fields[b'D']})" if b"D" in fields else ""
    code = fields.get(b"C", "")
    return DatabaseError(f"{fields.get(b'M', 'error')}{detail} (SQLSTATE {code})", code)
