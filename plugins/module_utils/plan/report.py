# SPDX-License-Identifier: Apache-2.0
"""The printed result of a run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan.outcome import MIGRATED

WAY_OUT = {
    "fence": "bring the host back, remove it from the inventory, or exclude it with -e release_exclude_hosts=name",
}


def failure(
    run: Mapping[str, Any], plan: Mapping[str, Any], verdict: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> str:
    """Return one line on what failed and what is live; a step's details follow, and last what happened to the ``data``.

    ``data`` has the ``names`` of the migrations the run was to apply and, when that was tried, the verdict on reverting them or
    restoring the data (``reverted``).
    """
    first, *more = str(verdict["message"]).split("\n")
    step = verdict.get("step")
    unreachable = any("cannot be reached" in reason for reason in verdict["failed"].values())
    hint = f" {WAY_OUT[step][0].upper()}{WAY_OUT[step][1:]}." if step in WAY_OUT and unreachable else ""
    live = plan["live"]
    reached = {name for name, _unused in verdict["times"]}
    if any("the lease of app" in reason for reason in verdict["failed"].values()):
        serving = "Another run took over the app: see playbooks/app/history.yml"
    elif step == "confirm":
        serving = "Some edges may serve the new release: run the same command again, it rolls forward"
    elif step == "workers":
        serving = "The release is live, except for what failed: fix that, then run the same command again"
    elif step in ("retire", "revert"):
        left = ", ".join(plan["revert"]["names"])
        serving = f"The release is live, but migration {left} is not reverted yet: run the same command again"
    elif live:
        serving = f"Release {live['release']} is still live"
    elif plan["status"] == "refused" and "plan" not in reached:
        serving = "Nothing was changed"
    else:
        serving = "Nothing is live yet"
    where = f" in step {step}" if step else ""
    data_lines = _data(plan, step, data or {})
    return "\n".join([f"{run['action']} failed{where}: {first.rstrip('.')}. {serving}.{hint}", *more, *data_lines])


def _data(plan: Mapping[str, Any], step: str | None, data: Mapping[str, Any]) -> list[str]:
    """Describe what happened to the data, or the command that reverts it."""
    wanted, names = plan.get("on_failure"), data.get("names")
    if not wanted or not names or step not in MIGRATED:
        return []
    tried, what = data.get("reverted"), f"its migration {', '.join(names)}"
    schema = wanted["data"] == "down"
    if tried and tried["ok"]:
        return (
            _reverted(names, data.get("stays", []))
            if schema
            else [f"The data was restored to the point before {what}; the rows lost are counted above"]
        )
    doing = f"Reverting {what}" if schema else f"Restoring the data to the point before {what}"
    failed = [f"{doing} failed: {tried['message']}"] if tried else []
    if wanted.get("automatic") and not tried:
        failed = [f"{doing} was not started: not every host has recorded the failure and released the lease"]
    aim = f"revert {what}" if schema else "restore the data to the point before it"
    command = (
        f"ansible-playbook rollback.yml -e release_data={wanted['data']} -e rollback_confirm={plan['manifest']['id']}"
    )
    return [*failed, f"To {aim}: {command}"]


def _reverted(names: Sequence[str], stays: Sequence[str]) -> list[str]:
    """Describe which migrations were reverted, and which stay because the live release brings them too."""
    gone = [name for name in names if name not in stays]
    return [
        *([f"Its migration {', '.join(gone)} was reverted"] if gone else []),
        *([f"Migration {', '.join(stays)} stays: the live release expects it"] if stays else []),
    ]


def success(run: Mapping[str, Any], plan: Mapping[str, Any], verdict: Mapping[str, Any], check_mode: bool) -> list[str]:
    """Describe what is live now, and how long the run took."""
    manifest = plan["manifest"]
    if run["action"] == "rehearsal":
        done = "rehearse" in {name for name, _unused in verdict["times"]}
        outcome = (
            "its migrations succeed on a copy of the data" if done else "no migration is pending, nothing to rehearse"
        )
        return [f"{plan['app']} {manifest['version']}: {outcome}; nothing was changed"]
    if plan["status"] == "nothing":
        return [f"{plan['app']} {manifest['version']} already runs as release {manifest['id']}: nothing was changed"]
    if check_mode:
        return ["Check mode: nothing was changed"]
    if run["action"] == "drain":
        return [f"{', '.join(plan['drained'])} gets no requests for {plan['app']} until playbooks/hosts/join.yml"]
    verb = {"change": "is live", "repair": "is repaired"}[plan["status"]]
    return [
        f"{plan['app']} {manifest['version']} {verb} (release {manifest['id']}, slot {plan['slot']}), {_seconds(verdict):.1f} s"
    ]


def times(run: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    """List the duration of each step, for output that does not show it as the step ends."""
    parts = [f"{step} {now - before:.1f}" for (_unused, before), (step, now) in itertools.pairwise(verdict["times"])]
    return [f"{run['action']} took {_seconds(verdict):.1f} s: {', '.join(parts)}"] if parts else []


def _seconds(verdict: Mapping[str, Any]) -> float:
    times = verdict["times"]
    return float(times[-1][1] - times[0][1])
