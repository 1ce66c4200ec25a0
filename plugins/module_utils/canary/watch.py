# SPDX-License-Identifier: Apache-2.0
"""Whether a release that gets all requests fails them, compared with what the live one did just before. Pure.

A canary compares two releases within the same seconds. After a flip there is no other one to compare with, so the share of failed requests is compared
with a limit: the live release's share before the flip, and so much more. As there, significance comes from the spread between blocks of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.canary.log import Cell, Counts
from ansible_collections.sluice.stack.plugins.module_utils.canary.statistics import Rows, estimates, surely

# The chance that a good release is taken back, over all looks and services.
ALPHA = 0.01
BLOCK_SECONDS = 0.25
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """``seconds`` of real requests are watched, when the live release had ``min_requests`` in as many seconds before."""

    seconds: float
    max_errors: float  # how much more may fail than before, a share
    min_requests: int

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Limits:
        """Read what the contract resolved."""
        return cls(float(data["seconds"]), float(data["max_errors"]), int(data["min_requests"]))

    @property
    def looks(self) -> int:
        """How often it is judged, at most."""
        return max(1, round(self.seconds / LOOK_SECONDS))


def requests(counts: Counts, arm: str) -> int:
    """How many requests an arm had."""
    return sum(cell["requests"] for cell in _cells(counts, arm))


def fault(counts: Counts, limits: Limits) -> str:
    """Return how the new release fails, all its services together or one of them; empty when that is not certain.

    ``counts`` has the old release's requests before the flip, and the new one's since.
    """
    services = sorted({name for block in counts["arms"]["new"].values() for name in block})
    judged = [""] if len(services) < 2 else ["", *services]
    for service in judged:
        rows = _rows(counts, service)
        total = sum(row[1] for row in rows)
        if total < limits.min_requests:
            continue
        before = _share(_cells(counts, "old", service))
        limit = before + limits.max_errors
        share = sum(row[0] for row in rows) / total
        if share <= limit:
            continue
        chance = surely(estimates(rows), lambda one, limit=limit: one.above(limit))  # type: ignore[misc]
        if chance < ALPHA / limits.looks / len(judged):
            whose = f" of {service}" if service else ""
            return f"{share:.1%} of {total:.0f} requests{whose} failed, {before:.1%} did before, and {limit:.1%} are allowed"
    return ""


def _rows(counts: Counts, service: str) -> Rows:
    """The new release's failed and all requests, by block."""
    blocks = counts["arms"]["new"]
    return [
        (
            float(sum(cell["errors"] for name, cell in blocks[key].items() if service in ("", name))),
            float(sum(cell["requests"] for name, cell in blocks[key].items() if service in ("", name))),
        )
        for key in sorted(blocks, key=int)
    ]


def _cells(counts: Counts, arm: str, service: str = "") -> list[Cell]:
    return [cell for block in counts["arms"][arm].values() for name, cell in block.items() if service in ("", name)]


def _share(cells: list[Cell]) -> float:
    total = sum(cell["requests"] for cell in cells)
    return sum(cell["errors"] for cell in cells) / total if total else 0.0
