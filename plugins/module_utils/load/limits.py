# SPDX-License-Identifier: Apache-2.0
"""What a load test has to hold: availability and latency, in the form of ``app_slo``. Pure.

Each stage has a budget: the failed and the slow requests that its limits leave it. A stage whose budget is spent cannot hold any more, whatever
comes; so a test that stops then never stops one that would have passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Floating point: 0.1 % of 1000 is one request.
SLACK = 1e-6


@dataclass(frozen=True)
class Limits:
    """``failed`` is the share that may fail, from 0 to 1; ``latency`` maps a quantile's name to seconds."""

    failed: float
    latency: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Limits:
        """Read limits in the form of ``app_slo``."""
        availability = given.get("availability")
        share = 1.0 if availability is None else 1 - float(availability) / 100
        return cls(share, {str(name): float(value) for name, value in (given.get("latency") or {}).items()})

    def names(self) -> list[str]:
        """Each limit, for people."""
        kept = [f"availability {100 * (1 - self.failed):.6g} %"] if self.failed < 1 else []
        return kept + [f"{name} {milliseconds(seconds)}" for name, seconds in self.latency.items()]

    def broken(self, answered: int, failed: int, slow: Mapping[str, int], planned: float) -> list[str]:
        """Return which limits ``planned`` requests cannot hold any more.

        ``answered`` were as expected, ``slow`` of them slower than each limit; ``failed`` were not. Give what came as ``planned`` at the end.
        """
        found = []
        if failed > self.failed * planned + SLACK:
            found.append(f"availability {100 * (1 - self.failed):.6g} %")
        good = max(planned - failed, answered, 0)
        for name, seconds in self.latency.items():
            if slow.get(name, 0) > (1 - quantile(name)) * good + SLACK:
                found.append(f"{name} {milliseconds(seconds)}")
        return found


def quantile(name: str) -> float:
    """The quantile of a name: ``p99`` is 0.99, ``p999`` is 0.999."""
    return float(f"0.{name[1:]}")


def milliseconds(seconds: float) -> str:
    """A latency for people."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
