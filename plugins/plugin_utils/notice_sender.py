# SPDX-License-Identifier: Apache-2.0
"""Send notices, apart from the run they are about: a receiver that is down costs the run nothing, and gets them later.

A program. It reads a JSON object per line from standard input: ``id``, ``target`` and either ``url``, ``body`` and ``headers``, or
``apprise``, ``title`` and ``text``. For each one that was delivered or given up it prints ``{"id", "target", "error"}``. The targets are
independent of each other, and the notices of one keep their order.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

KEEP_TRYING_SECONDS = 600.0
ATTEMPT_SECONDS = 10.0
LONGEST_PAUSE = 30.0
# Answers after which another attempt makes sense, besides all 5xx.
LATER = (408, 425, 429)


class Later(OSError):
    """The receiver said when to try again."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Undeliverable(Exception):
    """The receiver refused it; trying again does not help."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET."""

    def redirect_request(self, *_unused: Any, **__unused: Any) -> None:
        return None


def post(item: dict[str, Any]) -> None:
    """Send it over HTTP. Raises OSError when it may work later, Undeliverable otherwise."""
    request = urllib.request.Request(  # noqa: S310  (the scheme was checked by the callback)
        item["url"], data=item["body"].encode(), headers=item["headers"], method="POST"
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=ATTEMPT_SECONDS):
            pass
    except urllib.error.HTTPError as error:
        if error.code in LATER or error.code >= 500:
            raise Later(f"status {error.code}", _retry_after(error.headers.get("Retry-After"))) from None
        raise Undeliverable(f"status {error.code}") from None
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from None
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {error}") from None


def _retry_after(value: str | None) -> float:
    """Seconds to wait, at most as long as the whole attempt; 0 when it does not say: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""
    text = (value or "").strip()
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        seconds = float(text) if text.isdecimal() else email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        return min(max(seconds, 0.0), KEEP_TRYING_SECONDS)
    return 0.0


def apprise(item: dict[str, Any]) -> None:
    """Send it by apprise. Raises OSError when it may work later, Undeliverable otherwise."""
    try:
        import apprise as library  # noqa: PLC0415  (needed by few)
    except ImportError:
        raise Undeliverable("it needs the Python package apprise on the controller") from None
    sender = library.Apprise()
    if not sender.add(item["apprise"]):
        raise Undeliverable("apprise does not know this kind of URL")
    if not sender.notify(title=item["title"], body=item["text"], body_format=library.NotifyFormat.TEXT):
        raise OSError("apprise could not deliver it")


def deliver(item: dict[str, Any], deadline: float, pause: Callable[[float], object] = time.sleep) -> str:
    """Try until it is delivered or the deadline, by the monotonic clock; returns the last error, or nothing."""
    send, wait = post if "url" in item else apprise, 1.0
    while True:
        try:
            send(item)
        except Undeliverable as error:
            return str(error)
        except OSError as error:
            this = max(wait, error.seconds) if isinstance(error, Later) else wait
            if time.monotonic() + this > deadline:
                return str(error)
            pause(this)
            wait = min(2 * wait, LONGEST_PAUSE)
        else:
            return ""


def _work(waiting: queue.Queue[dict[str, Any] | None], said: threading.Lock) -> None:
    for item in iter(waiting.get, None):
        answer = {"id": item["id"], "target": item["target"], "error": deliver(item, item["deadline"])}
        # The run may be over, and nobody reads it.
        with said, contextlib.suppress(OSError):
            print(json.dumps(answer), flush=True)


def items() -> Iterator[dict[str, Any]]:
    """What standard input says, until it is closed."""
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    """Have a thread for each target, and end when all have nothing left to do."""
    said = threading.Lock()
    queues: dict[str, queue.Queue[dict[str, Any] | None]] = {}
    threads = []
    for item in items():
        key = item.get("url") or item["apprise"]
        if key not in queues:
            queues[key] = queue.Queue()
            threads.append(threading.Thread(target=_work, args=(queues[key], said)))
            threads[-1].start()
        # From here on: what waited behind another one has no more time than that.
        queues[key].put({**item, "deadline": time.monotonic() + KEEP_TRYING_SECONDS})
    for waiting in queues.values():
        waiting.put(None)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
