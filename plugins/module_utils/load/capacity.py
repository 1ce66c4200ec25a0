# SPDX-License-Identifier: Apache-2.0
"""Search for the highest rate that holds the limits: double until one does not, then halve the distance. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Doubling from 1 to the highest rate, and halving down to 1 %, takes fewer.
MOST_TRIALS = 24


def held(trials: Sequence[Mapping[str, Any]]) -> int:
    """Return the highest rate that held, below every one that did not; 0 for none."""
    limit = broke(trials)
    return max(
        (one["rate"] for one in trials if not one["broken"] and (limit is None or one["rate"] < limit)), default=0
    )


def broke(trials: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the lowest rate that did not hold."""
    return min((one["rate"] for one in trials if one["broken"]), default=None)


def following(trials: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> int | None:
    """Return the rate to try next; None when the answer is known as precisely as it was asked for."""
    if len(trials) >= MOST_TRIALS:
        return None
    low, high = held(trials), broke(trials)
    if high is None:
        rate = min(max(2 * low, settings["from"]), settings["to"])
        return None if low >= settings["to"] else int(rate)
    if high - low <= max(1, low * settings["precision"] / 100):
        return None
    if not low:  # also the lowest rate that was asked for is too much
        return high // 2 or None
    return (low + high) // 2
