# SPDX-License-Identifier: Apache-2.0
"""A database URL as parameters of libpq: https://www.postgresql.org/docs/current/libpq-connect.html. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

# Parameters of Prisma and node-postgres that do not affect the connection.
_IGNORED = {
    "connection_limit",
    "max_connection_lifetime",
    "max_idle_connection_lifetime",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "single_use_connections",
    "socket_timeout",
    "statement_cache_size",
    "uselibpqcompat",
}
# Parameters that name a file, which is read from the service's image, like the app does.
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_REFUSED = {
    "passfile": "put the password into the URL",
    "service": "write its parameters into the URL",
    "servicefile": "write its parameters into the URL",
    "sslcrldir": "name one file with sslcrl",
    "sslidentity": "libpq reads no PKCS#12 file, so use sslcert and sslkey",
}
# The host's CA certificates, from the package ca-certificates.
SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
CONNECT_SECONDS = "10"


class UrlError(Exception):
    """The URL cannot be used; the message has no part that may contain a password."""


@dataclass(frozen=True)
class Target:
    """How to connect to a database.

    ``files`` are the parameters of ``parameters`` that name a file of the image.
    """

    parameters: Mapping[str, str] = field(repr=False)
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        user = self.parameters.get("user", "")
        return f"database {self.parameters.get('dbname', user)!r} as {user!r}"


def target(url: str, prisma: bool = False) -> Target:
    """Parse a ``postgresql://`` URL; with ``prisma`` as Prisma understands it. Raises UrlError."""
    found = _parts(url)
    found |= _parameters(urlsplit(url).query)
    if refused := next((name for name in found if name in _REFUSED), None):
        raise UrlError(f"the URL has {refused}, which is not supported here: {_REFUSED[refused]}")
    if prisma:
        _from_prisma(found)
    _verification(found)
    # An encoding that Python reads.
    found["client_encoding"] = "UTF8"
    if re.fullmatch(r"0*|-\d+", found.get("connect_timeout", "")):  # libpq: wait forever
        found["connect_timeout"] = CONNECT_SECONDS
    kept = {name: value for name, value in found.items() if name not in _IGNORED and value}
    return Target(kept, tuple(name for name in FILES if kept.get(name, SYSTEM) != SYSTEM))


def _parts(url: str) -> dict[str, str]:
    """Return user, password, hosts, ports and database of a URL."""
    wrong = UrlError("is not a postgresql:// URL (special characters in a password must be percent-encoded)")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise wrong from None
    login, at, hosts = parts.netloc.rpartition("@")
    # A `/`, `?` or `#` in a password ends the host part early; the rest would appear in errors as a host, port or database.
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment or (not at and "@" in url):
        raise wrong
    places = [re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::(\d*))?", place) for place in hosts.split(",")]
    if not all(places):
        raise wrong
    user, _unused, password = login.partition(":")
    names = [unquote(place[1]).strip("[]") for place in places if place]
    ports = [place[2] or "" for place in places if place]
    found = {
        "user": unquote(user),
        "password": unquote(password),
        "host": ",".join(names),
        "port": ",".join(ports) if any(ports) else "",
        "dbname": unquote(parts.path.lstrip("/")),
    }
    return {name: value for name, value in found.items() if value}


def _parameters(query: str) -> dict[str, str]:
    """Return the query's parameters; libpq does not decode a plus sign to a space."""
    found = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not equals or not re.fullmatch(r"[a-z_]+", name):
            raise UrlError("has a parameter that is not of the form name=value")
        found[name] = unquote(value)
    if found.pop("ssl", "") == "true":  # JDBC's parameter, which libpq accepts too
        found.setdefault("sslmode", "require")
    return found


def _from_prisma(found: dict[str, str]) -> None:
    """Convert Prisma's TLS parameters. Its ``sslcert`` is the server's CA, with a path relative to the schema's folder."""
    if "sslcert" in found and "sslkey" not in found:
        path = found.pop("sslcert")
        found["sslrootcert"] = path if path.startswith("/") else f"prisma/{path}"
    accept = found.pop("sslaccept", "")
    if accept == "strict" and found.get("sslmode") != "disable":
        found["sslmode"] = "verify-full"
    elif accept == "accept_invalid_certs":
        found.pop("sslrootcert", None)


def _verification(found: dict[str, str]) -> None:
    """Convert values that libpq lacks, at least in some versions."""
    if found.get("sslmode") == "no-verify":  # node-postgres: encrypted, without verification
        found["sslmode"] = "require"
        found.pop("sslrootcert", None)
    if found.get("sslrootcert") == "system":  # libpq 16 and newer; Debian 12 has 15
        if found.setdefault("sslmode", "verify-full") != "verify-full":
            raise UrlError(f"the URL has sslrootcert=system with sslmode={found['sslmode']}: use sslmode=verify-full")
        del found["sslrootcert"]
    if found.get("sslmode") == "verify-full":
        # Otherwise libpq would read a file in root's home; the app's driver uses the system's CA certificates.
        found.setdefault("sslrootcert", SYSTEM)


def conninfo(parameters: Mapping[str, str]) -> str:
    """Format parameters as a connection string."""
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in parameters.items()}
    return " ".join(f"{name}='{value}'" for name, value in escaped.items())


def with_options(url: str, settings: Mapping[str, str]) -> str:
    """Add session settings to the URL's ``options``, which libpq, node-postgres, pgx, JDBC and Prisma's engines pass to the server."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    given = [query["options"]] if query.get("options") else []
    query["options"] = " ".join([*given, *(f"-c {name}={value}" for name, value in settings.items())])
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))
