# SPDX-License-Identifier: Apache-2.0
"""The gate of the deployment window. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ansible_collections.sluice.stack.plugins.module_utils.contract.gates import DAYS
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED, OK, Result


def window(facts: Facts, options: Mapping[str, Any]) -> Result:
    """It is a time at which releases are allowed. A window that ends before it begins ends on the next day."""
    here = datetime.fromtimestamp(facts.now, ZoneInfo(options["time_zone"]))
    minute, begin, end = here.hour * 60 + here.minute, options["from"], options["to"]
    over_midnight = end <= begin
    # The day that the window began on.
    day = here - timedelta(days=1) if over_midnight and minute < end else here
    inside = (minute >= begin or minute < end) if over_midnight else begin <= minute < end
    when = f"{DAYS[here.weekday()]} {here:%H:%M} {options['time_zone']}"
    allowed = f"{', '.join(options['days'])} {_clock(begin)}-{_clock(end)}"
    if inside and DAYS[day.weekday()] in options["days"]:
        return Result("window", OK, f"{when} is within {allowed}")
    return Result("window", FAILED, f"{when} is outside {allowed}", "wait for the window, or waive it with a reason")


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
