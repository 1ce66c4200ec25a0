# SPDX-License-Identifier: Apache-2.0
"""What a gate answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, FAILED, WAIVED, UNKNOWN = "ok", "failed", "waived", "unknown"


@dataclass(frozen=True)
class Result:
    """One gate: ``evidence`` is what was seen, ``fix`` what to do; a gate that is ok has no fix."""

    name: str
    state: str  # ok, failed, waived, or unknown: it could not be seen
    evidence: str
    fix: str = ""

    @property
    def passes(self) -> bool:
        """Whether a deploy may begin as far as this gate is concerned."""
        return self.state in (OK, WAIVED)


def named(items: Sequence[str], most: int = 3) -> str:
    """Some names, and how many more there are."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def span(seconds: float) -> str:
    """A duration for people: ``26 h``, ``8 days``, ``12 min``."""
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 3 * 86400 else f"{seconds / 86400:.0f} days"
