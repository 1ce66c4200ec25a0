# SPDX-License-Identifier: Apache-2.0
"""The result of a run, as a person reads it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan.outcome import MIGRATED

WAY_OUT = {
    "fence": "bring the host back, take it out of the inventory, or give it up with -e release_exclude_hosts=name",
}


def failure(
    run: Mapping[str, Any], plan: Mapping[str, Any], verdict: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> str:
    """One line on what failed and what is served now; details a step gave follow below it, and last what becomes of ``data``.

    That is the ``names`` of migrations the run set out to apply, and the verdict over undoing (``undone``) them, or taking the data back,
    when that was tried.
    """
    first, *more = str(verdict["message"]).split("\n")
    step = verdict.get("step")
    unreachable = any("cannot be reached" in reason for reason in verdict["failed"].values())
    hint = f" {WAY_OUT[step][0].upper()}{WAY_OUT[step][1:]}." if step in WAY_OUT and unreachable else ""
    live = plan["live"]
    reached = {name for name, _unused in verdict["times"]}
    if any("does not own app" in reason for reason in verdict["failed"].values()):
        serving = "Another run took the app meanwhile: playbooks/app/history.yml says what it did"
    elif step == "confirm":
        serving = "Some edges may serve the new release: run the same command again, it rolls forward"
    elif step == "workers":
        serving = "The release is live, without what failed: run the same command again when that is mended"
    elif step in ("retire", "revert"):
        left = ", ".join(plan["revert"]["names"])
        serving = f"The release is live, and migration {left} is still to be undone: run the same command again"
    elif live:
        serving = f"Release {live['release']} goes on serving"
    elif plan["status"] == "refused" and "plan" not in reached:
        serving = "Nothing was changed"
    else:
        serving = "Nothing is live yet"
    where = f" in step {step}" if step else ""
    reported = _data(plan, step, data or {})
    return "\n".join([f"{run['action']} failed{where}: {first.rstrip('.')}. {serving}.{hint}", *more, *reported])


def _data(plan: Mapping[str, Any], step: str | None, data: Mapping[str, Any]) -> list[str]:
    """What became of the data, or the command that a person types."""
    wanted, names = plan.get("on_failure"), data.get("names")
    if not wanted or not names or step not in MIGRATED:
        return []
    tried, what = data.get("reverted"), f"its migration {', '.join(names)}"
    schema = wanted["data"] == "down"
    if tried and tried["ok"]:
        return (
            _reverted(names, data.get("stays", []))
            if schema
            else [f"The data went back to the moment before {what}; what that undid is counted above"]
        )
    doing = f"Undoing {what}" if schema else f"Taking the data back to the moment before {what}"
    failed = [f"{doing} failed: {tried['message']}"] if tried else []
    if wanted.get("automatic") and not tried:
        failed = [f"{doing} was not begun: not every host has written the failure down and left the app"]
    aim = f"undo {what}" if schema else "take the data back to the moment before it"
    command = (
        f"ansible-playbook rollback.yml -e release_data={wanted['data']} -e rollback_confirm={plan['manifest']['id']}"
    )
    return [*failed, f"To {aim}: {command}"]


def _reverted(names: Sequence[str], stays: Sequence[str]) -> list[str]:
    """What is gone of the migrations, and what is not: the live release brings it too."""
    gone = [name for name in names if name not in stays]
    return [
        *([f"Its migration {', '.join(gone)} was undone"] if gone else []),
        *([f"Migration {', '.join(stays)} stays: the live release expects it"] if stays else []),
    ]


def success(run: Mapping[str, Any], plan: Mapping[str, Any], verdict: Mapping[str, Any], check_mode: bool) -> list[str]:
    """What is live now, and how long that took."""
    manifest = plan["manifest"]
    if run["action"] == "rehearsal":
        done = "rehearse" in {name for name, _unused in verdict["times"]}
        said = (
            "its migrations work on a copy of the data" if done else "nothing is pending, there is nothing to rehearse"
        )
        return [f"{plan['app']} {manifest['version']}: {said}; nothing was changed"]
    if plan["status"] == "nothing":
        return [f"{plan['app']} {manifest['version']} already runs as release {manifest['id']}: nothing was changed"]
    if check_mode:
        return ["This was a check: nothing was changed"]
    if run["action"] == "drain":
        return [f"{', '.join(plan['drained'])} gets no requests of {plan['app']} until playbooks/hosts/join.yml"]
    verb = {"change": "is live", "repair": "is repaired"}[plan["status"]]
    return [
        f"{plan['app']} {manifest['version']} {verb} (release {manifest['id']}, slot {plan['slot']}), {_seconds(verdict):.1f} s"
    ]


def times(run: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    """Where the time went, for output that does not show each step when it ends."""
    parts = [f"{step} {now - before:.1f}" for (_unused, before), (step, now) in itertools.pairwise(verdict["times"])]
    return [f"{run['action']} took {_seconds(verdict):.1f} s: {', '.join(parts)}"] if parts else []


def _seconds(verdict: Mapping[str, Any]) -> float:
    times = verdict["times"]
    return float(times[-1][1] - times[0][1])
