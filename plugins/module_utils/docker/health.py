# SPDX-License-Identifier: Apache-2.0
"""Health probes: is something ready to serve, asked from outside it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import plain_http


def probe(address: str, port: int, health: Mapping[str, Any]) -> str | None:
    """Ask once; None when healthy, else why not.

    ``health`` has ``path`` (None: the port must accept a connection), ``status`` (the code expected) and ``timeout`` (seconds).
    """
    where = f"{address}:{port}{health['path'] or ''}"
    try:
        if health["path"] is None:
            socket.create_connection((address, port), timeout=health["timeout"]).close()
            return None
        answer = plain_http.request(
            (address, port),
            "GET",
            health["path"],
            headers={"Host": f"{address}:{port}", "User-Agent": "sluice-health"},
            timeout=health["timeout"],
            limit=4096,
        )
    except (OSError, plain_http.NoAnswer) as error:
        return f"{where}: {error or type(error).__name__}"
    if answer.status == health["status"]:
        return None
    body = answer.beginning()
    return f"{where}: status {answer.status} instead of {health['status']}" + (f", body {body!r}" if body else "")


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
