# SPDX-License-Identifier: Apache-2.0
"""Health probes from outside the container."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import plain_http

REDIRECTS = (301, 302, 303, 307, 308)
# Statuses of frameworks for an unknown host name: Django 400, Rails 403, HTTP/2 servers 421.
WRONG_HOST = (400, 403, 421)


def probe(address: str, port: int, health: Mapping[str, Any]) -> str | None:
    """Probe once; None when healthy, else why not.

    ``health`` has ``path`` (None: the port must accept a connection), ``status`` (accepted codes like ``200-299,404``), ``timeout``
    (seconds), and optionally ``host`` and ``headers`` to send.
    """
    where = f"{address}:{port}{health['path'] or ''}"
    host = health.get("host")
    try:
        if health["path"] is None:
            socket.create_connection((address, port), timeout=health["timeout"]).close()
            return None
        answer = plain_http.request(
            (address, port),
            "GET",
            health["path"],
            headers={
                "Host": host or f"{address}:{port}",
                "User-Agent": "sluice-health",
                **(health.get("headers") or {}),
            },
            timeout=health["timeout"],
            limit=4096,
        )
    except (OSError, plain_http.NoAnswer) as error:
        return f"{where}: {error or type(error).__name__}"
    if accepted(answer.status, health["status"]):
        return None
    body = answer.beginning()
    body_text = f", body {body!r}" if body else ""
    return f"{where}: status {answer.status} instead of {health['status']}{_hint(answer, host)}{body_text}"


def accepted(status: int, accepts: str | int) -> bool:
    """Whether a status is accepted: ``200``, ``200-399``, ``200,301-308``."""
    bounds = (part.partition("-") for part in str(accepts).split(","))
    return any(int(low) <= status <= int(high or low) for low, _unused, high in bounds)


def _hint(answer: plain_http.Answer, host: str | None) -> str:
    """Return a hint for a response that is not a fault of the app."""
    target = answer.headers.get("location", "")
    if answer.status in REDIRECTS and target.startswith("https:"):
        return (
            f" (redirected to {target[:200]}: set health.headers to {{X-Forwarded-Proto: https}}, or accept redirects with "
            "health.status: 200-399)"
        )
    if answer.status in WRONG_HOST and not host:
        return " (if it refuses host names it does not know, set health.host)"
    return ""


class NotHealthy(Exception):
    """The probes did not pass within the window; the message has the last response."""


def wait_healthy(
    ask: Callable[[], str | None],
    health: Mapping[str, Any],
    still_worth_it: Callable[[], None] = lambda: None,
) -> float:
    """Probe every ``interval`` seconds until ``successes`` in a row pass; returns the seconds it took.

    ``still_worth_it`` is called before each probe and raises to end the wait early (the container died, another failed).
    Raises NotHealthy after ``window`` seconds.
    """
    begin = time.monotonic()
    passed, last = 0, "no probe"
    while True:
        still_worth_it()
        fault = ask()
        passed = 0 if fault else passed + 1
        if passed >= health["successes"]:
            return time.monotonic() - begin
        last = fault or last
        if time.monotonic() - begin >= health["window"]:
            raise NotHealthy(f"not healthy within {health['window']:g} s; last answer: {last}")
        # After a passed probe, send the next one soon.
        time.sleep(health["interval"] if fault else min(health["interval"], 0.1))
