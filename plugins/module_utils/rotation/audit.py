# SPDX-License-Identifier: Apache-2.0
"""Who read or changed the app's secrets: the stores' own logs, compared with what the ledgers say that runs did. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

READ, WRITE, DENIED = "read", "write", "denied"
RUN, KNOWN, UNKNOWN = "run", "known", "UNKNOWN"


@dataclass(frozen=True)
class Event:
    """One line of a store's log."""

    time: datetime
    store: str  # vault or aws
    who: str
    address: str
    action: str  # read, write or denied
    places: frozenset[str]  # how the inventory may call the secret: "vault marketplace/jwt"
    version: str = ""  # by the store's count, where its log has it


@dataclass(frozen=True)
class Recorded:
    """What a run did, by its ledger entry: one secret read or written."""

    run: str
    who: str
    action: str
    place: str
    version: str
    begin: datetime
    end: datetime
    secret: str


@dataclass(frozen=True)
class Line:
    """An event, and what is known of it."""

    event: Event
    state: str  # run, known or UNKNOWN
    by: str


@dataclass(frozen=True)
class Report:
    """All events, and what runs recorded that no log has."""

    lines: Sequence[Line]
    missing: Sequence[Recorded]

    @property
    def unknown(self) -> list[Line]:
        """The events that nobody known explains."""
        return [line for line in self.lines if line.state == UNKNOWN]


def recorded(entries: Iterable[Mapping[str, Any]]) -> list[Recorded]:
    """Return what the ledgers' entries say that runs read and wrote; each once, however many entries a run has."""
    found: dict[tuple[str, str, str, str, str], Recorded] = {}
    for item in entries:
        for action, key in ((READ, "read"), (WRITE, "wrote")):
            for done in item.get(key) or []:
                begin, end = (datetime.fromisoformat(done[edge]) for edge in ("from", "to"))
                for name, place in done["secrets"].items():
                    where, version = _parts(place)
                    one = Recorded(item["run_id"], item["who"], action, where, version, begin, end, name)
                    # For several hosts, each has its own.
                    found.setdefault((item["run_id"], done.get("host", ""), done["from"], action, name), one)
    return sorted(found.values(), key=lambda one: (one.begin, one.secret))


def _parts(place: str) -> tuple[str, str]:
    """Return the place and the version of ``vault marketplace/jwt, key value, version 7``."""
    where, *rest = place.split(", ")
    return where, next((part.removeprefix("version ") for part in rest if part.startswith("version ")), "")


def compare(
    events: Iterable[Event],
    runs: Sequence[Recorded],
    known: Collection[str],
    skew: float,
    since: datetime | None = None,
) -> Report:
    """Match each event with one thing that a run did; ``known`` are patterns of identities that need no run.

    Each thing that a run did explains one event: a second read at the same moment is somebody else's. Clocks may differ by ``skew`` seconds.
    """
    left = list(runs)
    slack = timedelta(seconds=skew)
    lines = []
    for event in sorted(events, key=lambda one: one.time):
        match = next((one for one in left if _explains(one, event, slack)), None)
        if match:
            left.remove(match)
            lines.append(Line(event, RUN, f"run {match.run} of {match.who}"))
        elif any(fnmatchcase(event.who, pattern) for pattern in known):
            lines.append(Line(event, KNOWN, "audit_known"))
        else:
            lines.append(Line(event, UNKNOWN, "no run in the ledgers"))
    return Report(
        [line for line in lines if since is None or line.event.time >= since],
        [one for one in left if since is None or one.begin >= since],
    )


def _explains(one: Recorded, event: Event, slack: timedelta) -> bool:
    return (
        one.action == event.action
        and one.place in event.places
        and (not one.version or not event.version or one.version == event.version)
        and one.begin - slack <= event.time <= one.end + slack
    )


def table(report: Report) -> list[str]:
    """Return the report as lines."""
    rows = [("when (UTC)", "what", "who", "from", "secret", "explained by")]
    rows += [
        (
            f"{line.event.time:%Y-%m-%d %H:%M:%S}",
            line.event.action,
            line.event.who,
            line.event.address,
            min(line.event.places, key=len) + (f", version {line.event.version}" if line.event.version else ""),
            line.by if line.state != UNKNOWN else f"{UNKNOWN}: {line.by}",
        )
        for line in report.lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    found = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    found += [
        f"not in the stores' logs: run {one.run} of {one.who}, {one.action} of {one.secret} at {one.begin:%Y-%m-%d %H:%M:%S}"
        for one in report.missing
    ]
    return found
