# SPDX-License-Identifier: Apache-2.0
"""Count all requests of the edge's access log, by app, service, route, slot and release. Pure; see docs/decisions/0023.

The fields that are counted are the last ones of a line, in this order, and none of them is a client's text: they are cut out
without parsing what comes before, and most of these endings are the same, so that they are counted before they are parsed.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.canary.log import UPGRADED, upstream_seconds
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.exposition import Sample

REQUESTS, DURATION = "sluice_edge_requests_total", "sluice_edge_request_duration_seconds"
KINDS = {DURATION: "histogram"}
LE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CODES = ("1xx", "2xx", "3xx", "4xx", "5xx")
LABELS = ("app", "service", "route", "slot", "release")
# A rate needs two figures, and a series that begins at 7 shows no increase by 7: each is shown with zeros at first, longer than
# Prometheus takes from one look to the next (15 s).
UNSEEN_SECONDS = 20.0
# A series that nothing was added to for so long is forgotten: most are of releases that are gone.
IDLE_SECONDS = 2 * 86400.0
# More would fill the memory of this host and of Prometheus: what is over is counted without its labels.
MOST_SERIES = 2000

# A quotation mark that a client sent has a backslash before it in the log: this is found once in a line, at its end.
_MARK = b'"status":'
_TAILS = re.compile(rb'"status":[^}]*\}')
_TAIL = re.compile(
    rb'"status":(\d+),"app":"([^"]*)","service":"([^"]*)","route":"([^"]*)","slot":"([^"]*)","release":"([^"]*)",'
    rb'"seconds":([\d.]+),"upstream_seconds":"([^"]*)"\}'
)

Key = tuple[str, ...]  # the values of LABELS


class Request(NamedTuple):
    """What is counted of a request; ``seconds`` is None when it does not reflect the app's speed."""

    key: Key
    code: str
    seconds: float | None


@functools.lru_cache(maxsize=8192)
def request(tail: bytes) -> Request | None:
    """Parse the end of a line; None when it is torn or of another format."""
    match = _TAIL.fullmatch(tail)
    if not match:
        return None
    status, *key, seconds, upstream = (part.decode("utf-8", "replace") for part in match.groups())
    code = f"{status[0]}xx"
    # A slow client does not make a slow app: the app's own time, and the edge's for what it answers itself.
    took = None if int(status) == UPGRADED else upstream_seconds(upstream, float(seconds))
    return Request(tuple(key), code if code in CODES else "other", took)


class Series:
    """The figures of one app, service, route, slot and release."""

    def __init__(self, born: float) -> None:
        self.born = self.touched = born
        self.codes: dict[str, int] = dict.fromkeys(CODES, 0)
        self.buckets = [0] * (len(LE) + 1)  # each for itself; the last one is what is longer
        self.seconds = 0.0

    def add(self, found: Request, count: int) -> None:
        """Count ``count`` requests that were the same."""
        self.codes[found.code] = self.codes.get(found.code, 0) + count
        if found.seconds is not None:
            self.buckets[bisect_left(LE, found.seconds)] += count
            self.seconds += found.seconds * count

    def samples(self, labels: Mapping[str, str], shown: bool) -> Iterator[Sample]:
        """Yield the figures; zeros unless they are ``shown`` yet."""
        factor = 1 if shown else 0
        for code, count in self.codes.items():
            yield Sample(REQUESTS, count * factor, {**labels, "code": code})
        below = 0
        for end, count in zip([*map(str, LE), "+Inf"], self.buckets, strict=True):
            below += count * factor
            yield Sample(f"{DURATION}_bucket", below, {**labels, "le": end.removesuffix(".0")})
        yield Sample(f"{DURATION}_sum", round(self.seconds, 3) * factor, labels)
        yield Sample(f"{DURATION}_count", below, labels)

    def to_data(self) -> dict[str, Any]:
        """Return plain data, as kept on disk."""
        return {**vars(self)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Series:
        """Return what was kept."""
        series = cls(0.0)
        vars(series).update(data)
        return series


class Tally:
    """All series of an edge."""

    def __init__(self) -> None:
        self.series: dict[Key, Series] = {}
        self.broken = 0
        self.up_to: float | None = None  # everything that was written until then is counted

    def count(self, text: bytes, now: float) -> None:
        """Count a part of the log that consists of whole lines."""
        tails = _TAILS.findall(text)
        self.broken += text.count(b"\n") - len(tails)
        for tail, count in Counter(tails).items():
            # After a line that was torn there the next one is in it, whole.
            found = request(tail if b"\n" not in tail else tail[tail.rfind(_MARK) :])
            if found is None:
                self.broken += count
                continue
            series = self._series(found.key, now)
            series.touched = now
            series.add(found, count)

    def _series(self, key: Key, now: float) -> Series:
        if key not in self.series and len(self.series) >= MOST_SERIES:
            key = ("",) * len(LABELS)
        return self.series.setdefault(key, Series(now))

    def forget(self, now: float) -> None:
        """Forget what nothing was added to for long."""
        self.series = {key: one for key, one in self.series.items() if now - one.touched < IDLE_SECONDS}

    def samples(self, now: float) -> Iterable[Sample]:
        """Yield all figures."""
        for key, series in self.series.items():
            # A clock that was set back must not hide it for long.
            shown = not 0 <= now - series.born < UNSEEN_SECONDS
            yield from series.samples(dict(zip(LABELS, key, strict=True)), shown)
        yield Sample("sluice_edge_log_broken_lines_total", self.broken)
        if self.up_to is not None:
            yield Sample("sluice_edge_up_to_timestamp_seconds", self.up_to)

    def to_data(self) -> dict[str, Any]:
        """Return plain data, as kept on disk."""
        rows = [{"key": list(key), **series.to_data()} for key, series in self.series.items()]
        return {"series": rows, "broken": self.broken, "up_to": self.up_to}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Tally:
        """Return what was kept."""
        tally = cls()
        tally.broken, tally.up_to = data["broken"], data["up_to"]
        for row in data["series"]:
            kept = {name: value for name, value in row.items() if name != "key"}
            tally.series[tuple(row["key"])] = Series.from_data(kept)
        return tally
