# SPDX-License-Identifier: Apache-2.0
"""Count what k6 reports, line by line and in constant memory. Pure.

k6 writes a line of CSV for each sample. Four kinds of them are counted: answers with their duration, requests that were not sent because every
client was still waiting, turns of a script, and the script's own checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.load.limits import Limits, quantile

# Width of a histogram's buckets: a quantile is exact to 2 %. Whether a limit holds is counted exactly.
WIDTH = math.log(1.02)
SHOWN = ("p50", "p90", "p99")


class Times:
    """A histogram of milliseconds."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.most = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one."""
        bucket = round(math.log(max(milliseconds, 0.01)) / WIDTH)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.most = max(self.most, milliseconds)

    def at(self, share: float) -> float | None:
        """Return the quantile in seconds; None without any."""
        total = sum(self.buckets.values())
        seen, wanted = 0, share * total
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return round(min(math.exp(bucket * WIDTH), self.most) / 1000, 5)
        return None


class Stage:
    """The counts of a stage, or of one second."""

    def __init__(self) -> None:
        self.answered = self.failed = self.unsent = self.turns = self.checks = 0
        self.slow: dict[str, int] = {}
        self.times = Times()

    def bad(self) -> int:
        """Requests that failed a visitor, and failed checks of a script."""
        return self.failed + self.unsent + self.checks

    def total(self) -> int:
        """Everything that should have been answered."""
        return self.answered + self.bad()


class Tally:
    """All stages of a run."""

    def __init__(self, stages: Sequence[Mapping[str, Any]], limits: Limits) -> None:
        self._planned, self._limits = stages, limits
        self._stages = [Stage() for _unused in stages]
        self._seconds: dict[int, Stage] = {}
        self._columns: dict[str, int] = {}

    def line(self, text: str) -> Stage | None:
        """Count a line; returns the stage it belongs to when it may have changed whether that holds."""
        if not self._columns:
            self._columns = {name: place for place, name in enumerate(text.strip().split(","))}
            return None
        kind, _unused, rest = text.partition(",")
        if kind not in ("http_req_duration", "dropped_iterations", "iterations", "checks"):
            return None
        cells = [kind, *rest.split(",")]
        name = cells[self._columns["scenario"]]
        if not name.startswith("s") or not name[1:].isdigit():
            return None  # a script's setup
        stage = self._stages[int(name[1:])]
        value, second = float(cells[self._columns["metric_value"]]), int(cells[self._columns["timestamp"]]) // 1000
        expected = cells[self._columns["expected_response"]] == "true"
        for counted in (stage, self._seconds.setdefault(second, Stage())):
            _count(counted, kind, value, expected, self._limits.latency)
        return stage if kind != "iterations" else None

    def spent(self, stage: Stage) -> list[str]:
        """Return the limits that the stage cannot hold any more, whatever comes."""
        planned = self._planned[self._stages.index(stage)]
        # A script may send several requests at each turn.
        each = max(1.0, (stage.answered + stage.failed) / stage.turns) if stage.turns else 1.0
        wanted = max(planned["rate"] * planned["seconds"] * each, stage.total())
        return self._limits.broken(stage.answered, stage.bad(), stage.slow, wanted)

    def stages(self) -> list[dict[str, Any]]:
        """Return what each stage was, and which limits it broke."""
        return [
            {
                **_summary(stage),
                "rate": planned["rate"],
                "seconds": planned["seconds"],
                "broken": self._limits.broken(stage.answered, stage.bad(), stage.slow, stage.total())
                if stage.total()
                else ["nothing was sent"],
            }
            for planned, stage in zip(self._planned, self._stages, strict=True)
        ]

    def series(self) -> list[dict[str, Any]]:
        """Return each second; the first is 0."""
        first = min(self._seconds, default=0)
        return [{"second": second - first, **_summary(self._seconds[second])} for second in sorted(self._seconds)]


def _count(stage: Stage, kind: str, value: float, expected: bool, latency: Mapping[str, float]) -> None:
    if kind == "iterations":
        stage.turns += int(value)
    elif kind == "dropped_iterations":
        stage.unsent += int(value)
    elif kind == "checks":
        stage.checks += not value
    elif not expected:
        stage.failed += 1
    else:
        stage.answered += 1
        stage.times.add(value)
        for name, seconds in latency.items():
            if value > seconds * 1000:
                stage.slow[name] = stage.slow.get(name, 0) + 1


def _summary(stage: Stage) -> dict[str, Any]:
    times = {name: stage.times.at(quantile(name)) for name in SHOWN}
    counts = {"answered": stage.answered, "failed": stage.failed + stage.checks, "unsent": stage.unsent}
    return {**counts, **times, "max": round(stage.times.most / 1000, 5) if stage.answered else None}
