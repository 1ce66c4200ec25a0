# SPDX-License-Identifier: Apache-2.0
"""Health probes: is something ready to serve, asked from outside it."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any


def probe(address: str, port: int, health: Mapping[str, Any]) -> str | None:
    """Ask once; None when healthy, else why not.

    ``health`` has ``path`` (None: the port must accept a connection), ``status`` (the code expected) and ``timeout`` (seconds).
    """
    where = f"{address}:{port}{health['path'] or ''}"
    try:
        if health["path"] is None:
            socket.create_connection((address, port), timeout=health["timeout"]).close()
            return None
        connection = http.client.HTTPConnection(address, port, timeout=health["timeout"])
        try:
            connection.request("GET", health["path"], headers={"User-Agent": "sluice-health", "Connection": "close"})
            response = connection.getresponse()
            body = response.read(300).decode(errors="replace").strip()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"{where}: {error or type(error).__name__}"
    if response.status == health["status"]:
        return None
    return f"{where}: status {response.status} instead of {health['status']}" + (f", body {body!r}" if body else "")


class NotHealthy(Exception):
    """The window ended before the probes passed; the message has the last answer."""


def wait_healthy(
    ask: Callable[[], str | None],
    health: Mapping[str, Any],
    still_worth_it: Callable[[], None] = lambda: None,
) -> float:
    """Ask every ``interval`` seconds until ``successes`` answers in a row are good; returns the seconds it took.

    ``still_worth_it`` is called before each try and raises to end the wait early (the container died, another failed).
    Raises NotHealthy when ``window`` seconds are over.
    """
    begin = time.monotonic()
    passed, last = 0, "never asked"
    while True:
        still_worth_it()
        fault = ask()
        passed = 0 if fault else passed + 1
        if passed >= health["successes"]:
            return time.monotonic() - begin
        last = fault or last
        if time.monotonic() - begin >= health["window"]:
            raise NotHealthy(f"not healthy within {health['window']:g} s; last answer: {last}")
        # Successes in a row are asked for quickly: a passed probe has nothing to wait for.
        time.sleep(health["interval"] if fault else min(health["interval"], 0.1))
