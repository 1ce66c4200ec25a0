# SPDX-License-Identifier: Apache-2.0
"""app_slo: what an app promises its users. It belongs to the inventory and is no part of a release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Kind,
    Problems,
    number,
    shown,
    struct,
)

# Where the histogram of the edge has a boundary: only there is known how many requests were faster.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _latency(value: Any, path: str, problems: Problems) -> dict[str, float] | None:
    """A map of quantiles, ``p99``, to seconds."""
    if not isinstance(value, Mapping):
        problems.add(path, f"must be a map like {{p99: 0.5}}, not {shown(value)}", value)
        return None
    found: dict[str, float] = {}
    for key, seconds in value.items():
        where = f"{path}.{key}"
        if not re.fullmatch(r"p[1-9]\d?(\.\d{1,2})?", str(key)):
            problems.add(where, "is not a quantile: it must be p and a percentage, like p99 or p99.9", seconds)
            continue
        before = len(problems.lines)
        limit = number().read(seconds, where, problems)
        if len(problems.lines) == before and limit not in BUCKETS:
            known = ", ".join(f"{bound:g}" for bound in BUCKETS)
            problems.add(where, f"is {shown(seconds)}: it must be one of {known}, where the edge counts", seconds)
        found[str(key)] = limit
    return found


FIELDS = struct(
    {
        "availability": number(None, 50, 99.999),  # per cent of the requests
        "latency": Kind(_latency, {}),
        "window_days": number(30, 7, 90, whole=True),
        # Failed requests below which nothing is reported, whatever share of the few requests they are.
        "min_errors": number(10, 1, 1_000_000, whole=True),
    }
)


def _slo(value: Any, path: str, problems: Problems) -> dict[str, Any] | None:
    found: dict[str, Any] | None = FIELDS.read(value, path, problems)
    if found is not None and found["availability"] is None and not found["latency"] and not problems.lines:
        problems.add(path, "promises nothing: set availability, latency or both", value)
    return found


SLO = Kind(_slo, None)
