# SPDX-License-Identifier: Apache-2.0
"""One step of an app's split on an edge, as module edge_split is given it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.canary.watch import Limits
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.edge.record import Record

Step = Mapping[str, Any]


def limits(step: Step) -> Limits | None:
    """Return how real requests are watched after a flip; None when they are not."""
    watch = step["watch"]
    return Limits.from_data(watch) if step["state"] == "flip" and watch and watch["seconds"] else None


def lasts(step: Step) -> float:
    """Return after how many seconds a flip reverts unless it is confirmed: the time that watching takes is added."""
    watch = limits(step)
    return float(step["seconds"]) + (watch.seconds if watch else 0)


def after(before: Record, step: Step, now: float) -> Record:
    """Return the record after the step. Raises RecordError."""
    state, token, release = step["state"], step["token"], step["release"]
    if state == "flip":
        share = {"slot": step["slot"], "percent": step["percent"]}
        return edge_record.propose(before, release=release, **share, seconds=lasts(step), token=token, now=now)
    if state == "confirm":
        return edge_record.confirm(before, release=release, token=token, now=now)
    if state == "adopt":
        return edge_record.adopt(before, release=release, slot=step["slot"], token=token)
    if state == "abort":
        return edge_record.abort(before, token=token, release=release)
    if state == "maintain":
        page = {"message": step["notice"], "retry_after": step["retry_after"], "allow": step["allow"]}
        return edge_record.maintain(before, **page, token=token, now=now)
    return edge_record.serve(before, token=token)


def compared(before: Record, step: Step) -> str:
    """Return the live release, with which the one that is flipped to is compared; empty when there is no other to go back to."""
    live = before["confirmed"]
    return live["release"] if live and live["release"] != step["release"] else ""
