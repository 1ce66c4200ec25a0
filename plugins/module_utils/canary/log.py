# SPDX-License-Identifier: Apache-2.0
"""Count requests from the edge's access log; counts of several edges can be added. Pure.

Counts are plain data: per arm (``new``, ``old``), time block and service the requests, the errors and a histogram of latency. ::

    {"app": "shop", "releases": {"new": "…-v1.1.0", "old": "…-v1.0.0"}, "block_seconds": 10.0,
     "arms": {"new": {"0": {"backend": {"requests": 41, "errors": 1, "latency": {"38": 7, "40": 34}}}}, "old": {…}},
     "lines": {"read": 900, "counted": 620, "broken": 1}}

Blocks are numbered from the window's begin, in seconds of the edge's own clock. Keys are text, as JSON has them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Counts = dict[str, Any]
Cell = dict[str, Any]  # requests, errors and latency of one arm, block and service

ARMS = ("new", "old")
REFUSED = 400
ERROR = 500  # 4xx are mostly the client's fault and tell little about a release; 5xx are its own
UPGRADED = 101  # a WebSocket: its seconds are how long it was open
# Each bucket ends 10 per cent above the previous one, the first at Nginx's resolution: quantiles are known to 10 per cent, and
# 60 s is bucket 116. Histograms of any edges can be added.
FIRST_BUCKET_SECONDS = 0.001
BUCKET_RATIO = 1.1


class CountsDiffer(Exception):
    """Counts of different apps, releases or blocks cannot be added; the message names the difference."""


@dataclass(frozen=True)
class Window:
    """What is counted: an app's requests that began at ``since`` or later and ended before ``until`` (epoch seconds).

    The arms are two releases, or two values of a feature flag that the app said it answered with.
    """

    app: str
    releases: Mapping[str, str]  # arm → id of the release; value of the flag, where there is one
    since: float
    until: float
    block_seconds: float
    flag: str = ""
    goal: str = ""  # requests that people are meant to make: a method and a path with *, such as POST /api/bookings


class Line(NamedTuple):
    """A request from the log; times in seconds, ``ended`` since the epoch."""

    app: str
    service: str
    release: str
    status: int
    ended: float
    seconds: float
    latency: float | None  # None when it does not reflect the app's speed
    request: str = ""  # method and path
    flags: str = ""  # the app's response header Feature-Flags: name=value, name=value

    def answered(self, flag: str) -> str:
        """Return the value of a flag that the app answered with; empty when it did not ask for the flag."""
        for part in self.flags.split(",") if self.flags else ():
            name, _unused, value = part.strip().partition("=")
            if name == flag:
                return value
        return ""


def parse(line: bytes | str) -> Line | None:
    """Parse a line of ``log_format sluice``; None when it is torn, of another format, or without time or status."""
    try:
        # The URL is logged as the client sent it, which may not be UTF-8.
        item = json.loads(line.decode("utf-8", "replace") if isinstance(line, bytes) else line)
        ended, status, seconds = float(item["epoch"]), int(item["status"]), float(item["seconds"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if not (math.isfinite(ended) and math.isfinite(seconds)):
        return None
    return Line(
        app=str(item.get("app", "")),
        service=str(item.get("service", "")),
        release=str(item.get("release", "")),
        status=status,
        ended=ended,
        seconds=seconds,
        latency=None if status == UPGRADED else upstream_seconds(item.get("upstream_seconds"), seconds),
        request=f"{item.get('method', '')} {str(item.get('uri', '')).partition('?')[0]}",
        flags=str(item.get("flags", "")),
    )


def upstream_seconds(text: Any, otherwise: float) -> float:
    """Return the release's response time: the sum of its tries in Nginx's ``$upstream_response_time``; ``otherwise`` without any.

    Hosts tried in sequence are separated by commas. After a colon follows an internal redirect: here to the other slot, for a hashed
    asset, which is another release. ``-`` is a host without a time.
    (https://nginx.org/en/docs/http/ngx_http_upstream_module.html#var_upstream_addr)

    The upstream's time and not the request's, so that a slow client does not count as a slow release.
    """
    if not isinstance(text, str):
        return otherwise
    total, found = 0.0, False
    for part in text.partition(":")[0].split(","):
        try:
            value = float(part)
        except ValueError:
            continue
        if math.isfinite(value):
            total, found = total + value, True
    return total if found else otherwise


def bucket(seconds: float) -> int:
    """Return the bucket of a latency: bucket k ends at, and includes, ``bucket_end(k)``; everything below a millisecond is bucket 0."""
    if seconds <= FIRST_BUCKET_SECONDS:
        return 0
    # Rounded first: a time that is a bucket's end must not fall into the next one by the last bit.
    return math.ceil(round(math.log(seconds / FIRST_BUCKET_SECONDS) / math.log(BUCKET_RATIO), 9))


def bucket_end(index: int) -> float:
    """Return the longest latency of a bucket, in seconds."""
    return FIRST_BUCKET_SECONDS * float(BUCKET_RATIO**index)


class Tally:
    """Counts a window's lines as they arrive, in any order."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._arm = {release: arm for arm, release in window.releases.items()}
        self._cells: dict[tuple[str, int, str], Cell] = {}
        self._read = self._counted = self._broken = 0

    def take(self, text: bytes | str) -> float | None:
        """Count a line if it belongs to the window; returns when its request ended, None for a line that cannot be read."""
        self._read += 1
        line = parse(text)
        if line is None:
            self._broken += 1
            return None
        window = self._window
        arm = self._arm.get(line.answered(window.flag) if window.flag else line.release)
        # By its start: a slow request belongs to the time that caused it, and both arms are cut off alike at the end of the
        # window. Counting by end, a release's first seconds would contain only its fast requests.
        begin = line.ended - line.seconds
        if arm and line.app == window.app and window.since <= begin and line.ended < window.until:
            self._counted += 1
            cell = self._cell(arm, int((begin - window.since) // window.block_seconds), line.service)
            cell["requests"] += 1
            cell["errors"] += line.status >= ERROR
            if window.goal:
                reached = line.status < REFUSED and fnmatchcase(line.request, window.goal)
                cell["goals"] = cell.get("goals", 0) + reached
            if line.latency is not None:
                key = str(bucket(line.latency))
                cell["latency"][key] = cell["latency"].get(key, 0) + 1
        return line.ended

    def _cell(self, arm: str, block: int, service: str) -> Cell:
        key = (arm, block, service)
        if key not in self._cells:
            self._cells[key] = {"requests": 0, "errors": 0, "latency": {}}
        return self._cells[key]

    def counts(self) -> Counts:
        """Return the counts so far."""
        arms: dict[str, dict[str, dict[str, Cell]]] = {arm: {} for arm in ARMS}
        for (arm, block, service), cell in sorted(self._cells.items()):
            arms[arm].setdefault(str(block), {})[service] = cell
        return {
            "app": self._window.app,
            "releases": dict(self._window.releases),
            "block_seconds": self._window.block_seconds,
            "arms": arms,
            "lines": {"read": self._read, "counted": self._counted, "broken": self._broken},
        }


def count(lines: Iterable[bytes | str], window: Window) -> Counts:
    """Count a window from all lines of a log, in any order."""
    tally = Tally(window)
    for line in lines:
        tally.take(line)
    return tally.counts()


def add(many: Sequence[Counts]) -> Counts:
    """Add the counts of several edges; at least one is needed. Raises CountsDiffer.

    Blocks of the same number are added: every edge numbers them from the start of its own window, so different clocks do not matter
    when the windows start at the same moment.
    """
    first = many[0]
    for other in many[1:]:
        for key in ("app", "releases", "block_seconds"):
            if other[key] != first[key]:
                raise CountsDiffer(
                    f"the edges' counts differ in {key}, {first[key]} and {other[key]}: give canary_window the same options on every edge"
                )
    total: Counts = {
        **{key: first[key] for key in ("app", "releases", "block_seconds")},
        "arms": {arm: {} for arm in ARMS},
        "lines": {key: sum(one["lines"][key] for one in many) for key in first["lines"]},
    }
    for one in many:
        for arm in ARMS:
            for block, services in one["arms"][arm].items():
                into = total["arms"][arm].setdefault(block, {})
                for service, cell in services.items():
                    into[service] = _sum(into[service], cell) if service in into else _sum(cell)
    return total


def _sum(*cells: Cell) -> Cell:
    latency: dict[str, int] = {}
    for cell in cells:
        for key, number in cell["latency"].items():
            latency[key] = latency.get(key, 0) + number
    return {
        "requests": sum(cell["requests"] for cell in cells),
        "errors": sum(cell["errors"] for cell in cells),
        "latency": latency,
        **({"goals": sum(cell["goals"] for cell in cells)} if all("goals" in cell for cell in cells) else {}),
    }
