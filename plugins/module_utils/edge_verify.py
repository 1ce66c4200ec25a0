# SPDX-License-Identifier: Apache-2.0
"""Ask an edge's public port, as a visitor would, whether a release answers."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping, Sequence
from typing import Any


class VerifyError(Exception):
    """A route does not answer with the release; the message names the route and what it said."""


def ask(port: int, route: Mapping[str, Any], release: str, timeout: float) -> str | None:
    """Ask one route once; None when the release answered well, else what was wrong.

    Well means below 500, and the header only this host gets to see names the release.
    """
    where = f"{route['host'] or '*'}{route['verify']}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = {"Host": route["host"] or "localhost", "User-Agent": "sluice-verify"}
        connection.request("GET", route["verify"], headers=headers)
        response = connection.getresponse()
        body = response.read(300).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{where}: {error or type(error).__name__}"
    finally:
        connection.close()
    answered = response.headers.get("X-Sluice-Release")
    if response.status >= 500:
        return f"{where}: status {response.status}, body {body!r}"
    if answered != release:
        return f"{where}: answered by {answered or 'no release'} instead of {release}"
    return None


def verify(
    port: int, routes: Sequence[Mapping[str, Any]], release: str, *, times: int, seconds: float, timeout: float = 5
) -> None:
    """Ask every route until ``times`` answers in a row are good, for ``seconds`` at most; raises VerifyError."""
    deadline = time.monotonic() + seconds
    for route in routes:
        passed = 0
        while passed < times:
            fault = ask(port, route, release, timeout)
            passed = 0 if fault else passed + 1
            if fault:
                if time.monotonic() > deadline:
                    raise VerifyError(fault)
                time.sleep(0.1)
