# SPDX-License-Identifier: Apache-2.0
"""What of the logs is asked for. Pure; nothing of it ever reaches a shell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

LEVELS = ("debug", "info", "warn", "error")
SOURCES = ("app", "edge", "all")
MOST_LINES = 10_000
# A search without a beginning does not read everything there is.
SEARCH_SECONDS = 3600
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class QueryError(Exception):
    """A value cannot be used; the message is one line."""


@dataclass(frozen=True)
class Query:
    """``since`` and ``until`` are seconds of the epoch, 0 for none; ``level`` is the place of the least one in LEVELS, 0 for all."""

    lines: int
    service: str = ""
    since: float = 0.0
    until: float = 0.0
    level: int = 0
    text: str = ""
    pattern: re.Pattern[str] | None = None

    @property
    def searches(self) -> bool:
        """Whether lines are left out by what they say."""
        return bool(self.text or self.pattern or self.level)

    def wants(self, text: str, level: int, moment: float = 0.0) -> bool:
        """Whether a line is asked for."""
        return (
            level >= self.level
            and self.text in text
            and (self.pattern is None or bool(self.pattern.search(text)))
            and (not moment or (moment >= self.since and (not self.until or moment <= self.until)))
        )


def parse(given: Mapping[str, Any], now: float) -> Query:
    """Read the options of release_logs; raises QueryError."""
    lines, level = int(given["lines"]), str(given["level"])
    if not 1 <= lines <= MOST_LINES:
        raise QueryError(f"logs_lines is {lines}: it must be 1 to {MOST_LINES}")
    if level and level not in LEVELS:
        raise QueryError(f"logs_level is {level!r}: {did_you_mean(level, LEVELS)}")
    if given["source"] not in SOURCES:
        raise QueryError(f"logs_from is {given['source']!r}: {did_you_mean(str(given['source']), SOURCES)}")
    if given["text"] and given["regexp"]:
        raise QueryError(
            "logs_grep and logs_regexp are both set: the first is plain text, the second a regular expression; remove one"
        )
    since, until = moment("logs_since", given["since"], now), moment("logs_until", given["before"], now)
    if since and until and since >= until:
        raise QueryError(f"logs_since, {given['since']}, is not before logs_until, {given['before']}")
    query = Query(
        lines=lines,
        service=given["service"],
        since=since,
        until=until,
        level=LEVELS.index(level) if level else 0,
        text=given["text"],
        pattern=_pattern(given["regexp"]),
    )
    if query.searches and not since:
        return Query(**{**query.__dict__, "since": (until or now) - SEARCH_SECONDS})
    return query


def moment(name: str, given: Any, now: float) -> float:
    """Return a time as seconds of the epoch, 0 for none: ``15m`` ago, a number of seconds ago, or a date and time with its zone."""
    text = str(given or "").strip()
    if text in ("", "0"):
        return 0.0
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not found.tzinfo:
        raise QueryError(
            f"{name} is {text!r}: it must be a time ago like 15m, 2h or 1d, or a time like 2026-12-31T18:00Z"
        )
    return found.timestamp()


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except (re.error, RecursionError, OverflowError) as error:
        raise QueryError(f"logs_regexp is {text!r}: {error}; logs_grep searches for plain text") from error
