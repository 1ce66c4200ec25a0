# SPDX-License-Identifier: Apache-2.0
"""Check on an edge's public port, like a client, that a release answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import ANY

COOKIE = "sluice_visitor"


class Ports(NamedTuple):
    """An edge's public ports, and the host names that have TLS."""

    http: int = 80
    https: int = 443
    tls: Collection[str] = ()


class VerifyError(Exception):
    """A route does not answer with the release; the message names the route and its response."""


def bucket(client: str) -> int:
    """Return a client's bucket, 0 to 99: the same function as in the edge's sluice.js."""
    value = 5381
    for letter in client:
        value = (value * 33 + ord(letter)) % 2**32
    return value % 100


def first_client() -> str:
    """Return a client id that gets the pending release however small its share is."""
    return next(name for name in (f"verify-{number}" for number in range(10_000)) if bucket(name) == 0)


def ask(ports: Ports, route: Mapping[str, Any], release: str, timeout: float, own_pass: str = "") -> str | None:
    """Request one route once; None when the release answered correctly, else what was wrong.

    Correct means a status below 500 and the release in the header that only this host receives. ``timeout`` is in seconds; with
    ``own_pass`` the edge does not protect the app from the request.
    """
    secure = (route.get("host") or ANY) in ports.tls
    name = route.get("verify_host") or route.get("host") or "localhost"
    where = f"{'https://' if secure else ''}{route.get('host') or '*'}{route['verify']}"
    headers = {
        "Host": name,
        "User-Agent": "sluice-verify",
        "Cookie": f"{COOKIE}={first_client()}",
        **({"X-Sluice-Pass": own_pass} if own_pass else {}),
    }
    try:
        answer = plain_http.request(
            ("127.0.0.1", ports.https if secure else ports.http),
            "GET",
            route["verify"],
            headers=headers,
            timeout=timeout,
            limit=4096,
            tls=name if secure else "",
        )
    except plain_http.NoAnswer as error:
        return f"{where}: no answer ({error})"
    answered = answer.headers.get("x-sluice-release")
    if answer.status >= 500:
        return f"{where}: status {answer.status}, body {answer.beginning()!r}"
    if answered != release:
        return f"{where}: answered by {f'release {answered}' if answered else 'no release of the app'} instead of {release}, status {answer.status}"
    return None


def verify(
    ports: Ports, routes: Sequence[Mapping[str, Any]], release: str, *, times: int, timeout: float, own_pass: str = ""
) -> None:
    """Request every route ``times`` in a row; raises VerifyError at the first bad response.

    There is no retry: the slot was healthy before the flip, and while a retry waits, clients get the same bad
    responses.
    """
    for route in routes:
        for number in range(1, times + 1):
            fault = ask(ports, route, release, timeout, own_pass)
            if fault:
                raise VerifyError(f"{fault} (try {number} of {times})")
