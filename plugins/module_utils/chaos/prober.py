# SPDX-License-Identifier: Apache-2.0
"""Ask an app's routes at a steady rate, and count every answer that does not come.

A program of its own: it is not slowed by what Ansible does meanwhile, and it ends with its standard input, so also when the controller dies.

The rate does not depend on the answers (an open loop): an app that hangs is asked on, and what waits is not left out. No request is sent twice,
and each has a connection of its own, so that none is lost because an idle one was closed.

Standard input is a line of JSON: ``{"rate": 20, "timeout": 10, "probes": [{"address", "port", "tls", "host", "path", "method", "body"}]}``.
Every request becomes a line ``[sent, took, probe, status, error]``: seconds of CLOCK_MONOTONIC, which all processes of a machine share; status 0
without a whole answer.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Mapping
from typing import Any

# Who the server is, is another check's matter; this one counts what fails.
ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE
# More at once than this means that nothing is answered any more: the count goes on, the connections do not.
MOST_OPEN = 2000


class Broken(Exception):
    """Not a whole response; the message says what is missing."""


def request(probe: Mapping[str, Any]) -> bytes:
    """The bytes of a request."""
    host = probe["host"] or (f"[{probe['address']}]" if ":" in probe["address"] else probe["address"])
    body = str(probe.get("body") or "").encode()
    head = [
        f"{probe.get('method', 'GET')} {probe['path']} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: sluice-chaos",
        "Connection: close",
    ]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if probe.get("method") == "POST" else []
    return "\r\n".join([*head, "", ""]).encode() + body


def status(answer: bytes) -> int:
    """The status of a whole response; raises Broken for a part of one."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        raise Broken("no answer" if not answer else "half an answer")
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise Broken("no HTTP answer")
    headers = {name.strip().lower(): value.strip() for name, _unused, value in (line.partition(":") for line in lines)}
    code = int(parts[1])
    if code in (204, 304):
        return code
    length = headers.get("content-length", "")
    if length.isdigit() and len(body) < int(length):
        raise Broken("half an answer")
    if "chunked" in headers.get("transfer-encoding", "").lower() and not body.endswith(b"0\r\n\r\n"):
        raise Broken("half an answer")
    return code


async def ask(probe: Mapping[str, Any]) -> int:
    """Send one request on a connection of its own; returns the status."""
    context = ANY_CERTIFICATE if probe["tls"] else None
    name = (probe["host"] or probe["address"]) if context else None
    reader, writer = await asyncio.open_connection(
        probe["address"], probe["port"], ssl=context, server_hostname=name, limit=2**20
    )
    try:
        writer.write(request(probe))
        await writer.drain()
        return status(await reader.read(-1))
    finally:
        writer.transport.abort()


async def one(number: int, probe: Mapping[str, Any], timeout: float) -> None:
    """One request, from its time to its line."""
    sent = time.monotonic()
    code, error = 0, ""
    try:
        code = await asyncio.wait_for(ask(probe), timeout)
    except TimeoutError:
        error = f"no answer within {timeout:g} s"
    except ConnectionRefusedError:
        error = "connection refused"
    except ConnectionResetError:
        error = "connection reset"
    except Broken as broken:
        error = str(broken)
    except (OSError, ValueError) as other:
        error = type(other).__name__
    _say(round(sent, 4), round(time.monotonic() - sent, 4), number, code, error)


def _say(*row: Any) -> None:
    """Hand a line over to whoever reads."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


async def run(settings: Mapping[str, Any]) -> None:
    """Ask until standard input ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, lambda: None if sys.stdin.read(1) else stop.set())
    probes, timeout = settings["probes"], float(settings["timeout"])
    waiting: set[asyncio.Task[None]] = set()
    begin, count = loop.time(), 0
    while not stop.is_set():
        number = count % len(probes)
        if len(waiting) < MOST_OPEN:
            task = loop.create_task(one(number, probes[number], timeout))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        else:
            _say(round(time.monotonic(), 4), 0, number, 0, "too many wait")
        count += 1
        pause = begin + count / settings["rate"] - loop.time()
        try:
            await asyncio.wait_for(stop.wait(), max(pause, 0.001))
        except TimeoutError:
            continue
    if waiting:
        await asyncio.wait(waiting, timeout=timeout + 1)


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.stdin.readline())))
