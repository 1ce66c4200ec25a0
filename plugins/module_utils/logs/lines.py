# SPDX-License-Identifier: Apache-2.0
"""Lines of containers and edges: their level, their text, and all hosts' in the order of time. Pure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ansible_collections.sluice.stack.plugins.module_utils.terminal import harmless

Entry = dict[str, str]  # time, source, release, text
# A longer line is cut: one may be a whole page.
LONGEST = 8192

# Words of loggers and their numbers: https://github.com/pinojs/pino/blob/main/docs/api.md#loggerlevels-object
_WORDS = {
    "trace": 0,
    "debug": 0,
    "info": 1,
    "notice": 1,
    "warn": 2,
    "warning": 2,
    "error": 3,
    "err": 3,
    "fatal": 3,
    "critical": 3,
    "panic": 3,
}
_WORDS |= {"crit": 3, "alert": 3, "emerg": 3}
_KEYS = ("level", "severity", "lvl")
# In text a level stands near the beginning, in capitals, in brackets or before a colon: "no error" is none.
_TEXT = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|PANIC)\b|(?:\[|level=|^)\"?(\w+)[\]\":\s]", re.ASCII
)
_NGINX = re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(\w+)\] (.*)")


def level(text: str, before: int = 1) -> int:
    """Return the place in LEVELS of a line; ``before``, that of the line before, when it says nothing: it may go on with that one."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = {}
        given = next((found[key] for key in _KEYS if key in found), None) if isinstance(found, dict) else None
        if isinstance(given, int | float) and not isinstance(given, bool):
            try:
                return min(max(int(given) // 10 - 2, 0), 3)
            except (OverflowError, ValueError):
                return before  # infinity, or not a number
        return _WORDS.get(str(given).lower(), before)
    match = _TEXT.search(text[:100])
    return _WORDS.get((match[1] or match[2]).lower(), before) if match else before


def request(line: str, app: str, service: str) -> tuple[float, int, Entry] | None:
    """Return the end, the level and the entry of a line of an edge's access log; None when it is another app's or service's."""
    try:
        item = json.loads(line)
        ended, status = float(item["epoch"]), int(item["status"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if item.get("app") != app or service not in ("", item.get("service")):
        return None
    text = (
        f"{item.get('method')} {item.get('host')}{item.get('uri')} {status} {1000 * float(item.get('seconds') or 0):.0f} ms"
        f" {item.get('bytes')} bytes from {item.get('client')}"
    )
    source = f"{app}/{item.get('service') or '-'}"
    grade = 3 if status >= 500 else 2 if status >= 400 else 1
    return (
        ended,
        grade,
        {"time": stamp(ended), "source": source, "release": str(item.get("release") or "-"), "text": text[:LONGEST]},
    )


def problem(line: str) -> tuple[float, int, Entry] | None:
    """Return the same of a line of Nginx' error log, which has the host's own time."""
    match = _NGINX.match(line)
    if not match:
        return None
    moment = time.mktime(time.strptime(match[1], "%Y/%m/%d %H:%M:%S"))
    entry = {"time": stamp(moment), "source": "nginx", "release": "-", "text": f"[{match[2]}] {match[3]}"[:LONGEST]}
    return moment, _WORDS.get(match[2], 1), entry


def stamp(moment: float) -> str:
    """Return a time as Docker writes it, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"


def merged(hosts: Mapping[str, Iterable[Entry]]) -> list[str]:
    """Return all hosts' lines in the order of time."""
    found = [(entry["time"], host, entry) for host, entries in hosts.items() for entry in entries]
    return [shown(host, entry) for _unused, host, entry in sorted(found, key=lambda item: item[:2])]


def shown(host: str, entry: Entry) -> str:
    """Return a line for a terminal."""
    text = harmless(entry["text"]).replace("\n", " ")
    return f"{entry['time'][:23].rstrip('Z')}Z {host} {entry['source']} {entry['release']} {text}"
