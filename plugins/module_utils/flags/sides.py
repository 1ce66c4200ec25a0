# SPDX-License-Identifier: Apache-2.0
"""How two sides of a flag differ, from the canary's counts: for a decision that may be looked at at any time, and for plots. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.canary import log
from ansible_collections.sluice.stack.plugins.module_utils.canary.log import Counts
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings
from ansible_collections.sluice.stack.plugins.module_utils.canary.statistics import (
    Estimate,
    always,
    error_rows,
    estimates,
    latency_rows,
    strata_of,
)

# The chance that any interval of a result is wrong at any look.
ALPHA = 0.05
ERRORS, SLOWER, GOAL = "errors", "slower", "goal"
MORE, LESS, UNKNOWN = "more", "less", "not known yet"
# Points of a plot.
POINTS = 120


def measured(counts: Counts, pairs: int, settings: Settings) -> list[dict[str, Any]]:
    """Return what is known of each measure: {name, value, low, high, said}; low and high are None before it may be judged.

    ``errors`` is the difference of the failed shares, ``slower`` by how much a request of the new side is likelier than even the slower one of two,
    ``goal``, where there is one, the difference of the shares that reach it. All intervals of all ``pairs`` together hold at every look at once with 95 %.
    """
    strata = strata_of(counts)
    enough = sum(any(new.requests and old.requests for new, old in block) for block in strata) >= settings.min_blocks
    # Without weights by trust: what clients saw.
    rows = {ERRORS: error_rows(strata, even=False), SLOWER: latency_rows(strata)}
    if has_goals(counts):
        rows[GOAL] = error_rows(strata_of(_goals_as_errors(counts)), even=False)
    alpha = ALPHA / (len(rows) * pairs)
    return [_measure(name, estimates(one), alpha, enough) for name, one in rows.items()]


def has_goals(counts: Counts) -> bool:
    """Whether goals were counted."""
    return any("goals" in cell for arm in log.ARMS for block in counts["arms"][arm].values() for cell in block.values())


def _goals_as_errors(counts: Counts) -> Counts:
    """The same statistics hold for any share of requests."""
    arms = {
        arm: {
            block: {name: {**cell, "errors": cell["goals"]} for name, cell in services.items()}
            for block, services in counts["arms"][arm].items()
        }
        for arm in log.ARMS
    }
    return {**counts, "arms": arms}


def _measure(name: str, found: Sequence[Estimate], alpha: float, enough: bool) -> dict[str, Any]:
    between = always(found, alpha) if enough else None
    low, high = between or (None, None)
    said = UNKNOWN
    # Blocks that are all equal, such as without any error, have no spread that could say how sure that is.
    if low is not None and high is not None and low < high:
        said = MORE if low > 0 else LESS if high < 0 else UNKNOWN
    return {"name": name, "value": found[0].value if found else None, "low": low, "high": high, "said": said}


def series(counts: Counts) -> list[dict[str, Any]]:
    """Return requests, errors and goals of both sides over the window, in at most POINTS parts of equal length: {second, new, old}."""
    numbers = [int(block) for arm in log.ARMS for block in counts["arms"][arm]]
    wide = max(1, -(-(max(numbers, default=0) + 1) // POINTS))
    found: dict[int, dict[str, Any]] = {}
    for arm in log.ARMS:
        for block, services in counts["arms"][arm].items():
            start = int(block) // wide * wide
            empty = {"second": start * counts["block_seconds"], "new": [0, 0, 0], "old": [0, 0, 0]}
            part = found.setdefault(start, empty)
            for cell in services.values():
                part[arm][0] += cell["requests"]
                part[arm][1] += cell["errors"]
                part[arm][2] += cell.get("goals", 0)
    return [found[start] for start in sorted(found)]


def lines(look: Mapping[str, Any]) -> list[str]:
    """Return a look for people: what is known of each pair."""
    return [f"  {pair['new']} against {pair['old']}: {say(one)}" for pair in look["pairs"] for one in pair["measures"]]


def say(one: Mapping[str, Any]) -> str:
    """Return a measure for people."""
    if one["value"] is None:
        return f"{one['name']}: nothing was seen of both at the same time"
    if one["name"] == ERRORS:
        value, what = f"{100 * one['value']:+.2f} points of errors", ("fails more", "fails less")
    elif one["name"] == GOAL:
        value, what = (
            f"{100 * one['value']:+.2f} points of requests that reach the goal",
            ("more reach it", "fewer reach it"),
        )
    else:
        value, what = f"the slower one in {100 * (0.5 + one['value']):.1f} % of pairs", ("is slower", "is faster")
    if one["low"] is None:
        return f"{value}; too little was seen to say more"
    ends = [100 * (edge + (0.5 if one["name"] == SLOWER else 0)) for edge in (one["low"], one["high"])]
    between = f"{ends[0]:.1f} to {ends[1]:.1f} %" if one["name"] == SLOWER else f"{ends[0]:+.2f} to {ends[1]:+.2f}"
    known = {MORE: what[0], LESS: what[1], UNKNOWN: UNKNOWN}[one["said"]]
    return f"{value} ({between}): {known}"
