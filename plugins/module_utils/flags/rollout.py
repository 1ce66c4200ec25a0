# SPDX-License-Identifier: Apache-2.0
"""How a flag gets to more people: its sides, its steps, and what the next one does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.canary import verdict
from ansible_collections.sluice.stack.plugins.module_utils.flags import shape
from ansible_collections.sluice.stack.plugins.module_utils.flags.plan import Step
from ansible_collections.sluice.stack.plugins.module_utils.flags.shape import GRADUAL, Flag

# What an app says of a flag without variants.
ON, OFF = "on", "off"
EVERYBODY = 100
GO_ON, AGAIN, STOP, REVERT = "on", "again", "stop", "revert"


class RolloutError(Exception):
    """The flag cannot be rolled out; the message says what to do."""


def pairs(flag: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return which values of a flag are compared, each ``new`` with its ``old``: the first variant is what the others are measured by."""
    names = [one["name"] for one in flag["variants"]]
    if not names:
        return [{"new": ON, "old": OFF}]
    return [{"new": name, "old": names[0]} for name in names[1:]]


def comparable(flag: Mapping[str, Any], percent: int) -> bool:
    """Whether there are two sides at this share: without variants everybody is on one in the end."""
    return bool(flag["variants"]) or percent < EVERYBODY


def share(name: str, flag: Mapping[str, Any], seen: Flag | None) -> int:
    """Return the share that a flag has in Unleash. Raises RolloutError when it cannot be rolled out."""
    if all(one["rollout"] != GRADUAL for one in flag["strategies"]):
        raise RolloutError(f"app_flags.{name} has no strategy with rollout: {GRADUAL}, so the inventory says its share")
    if not flag["enabled"]:
        raise RolloutError(f"app_flags.{name} is not enabled in this environment")
    if seen is None:
        raise RolloutError(f"{name} is not in Unleash yet: run playbooks/flags/flags.yml")
    wanted = shape.wanted({name: flag}, (), {name: seen})[name]
    if shape.without_ids(seen)["strategies"] != wanted["strategies"] or seen["enabled"] != wanted["enabled"]:
        raise RolloutError(
            f"{name} is another one in Unleash than in app_flags: run playbooks/flags/flags.yml, which says how"
        )
    return gradual(flag, seen)


def gradual(flag: Mapping[str, Any], seen: Flag) -> int:
    """Return the share of a flag's gradual strategies in Unleash, the smallest where somebody made them differ."""
    both = zip(flag["strategies"], seen["strategies"], strict=False)
    return min((shape.share_of(there) for one, there in both if one["rollout"] == GRADUAL), default=0)


def move(name: str, flag: Mapping[str, Any], seen: Flag, percent: int) -> list[Step]:
    """Return the steps to give a flag this share, in all of its gradual strategies."""
    found: list[Step] = []
    for index, one in enumerate(flag["strategies"]):
        there = seen["strategies"][index] if index < len(seen["strategies"]) else None
        if one["rollout"] != GRADUAL or there is None or shape.share_of(there) == percent:
            continue
        settings = {key: value for key, value in there.items() if key != "id"}
        settings["parameters"] = {**settings["parameters"], "rollout": str(percent)}
        found.append({"do": "set_strategy", "flag": name, "id": there["id"], "strategy": settings})
    return found


def steps(planned: Sequence[int], now: int, upto: int) -> list[int]:
    """Return the shares that are left. The one that a flag has is looked at again: the run that gave it may have ended before its look."""
    return [*(one for one in planned if now <= one < upto), upto]


def decide(found: Sequence[Mapping[str, Any]], *, two_sides: bool, last: bool) -> str:
    """Return what a look at a step means: go ON, look AGAIN, STOP at this share, or REVERT.

    ``found`` are the canary's verdicts, one for each pair. Where everybody is on one side only its guards say something.
    """
    decisions = {one["decision"] for one in found}
    if verdict.FAIL in decisions:
        return REVERT
    if not two_sides or decisions == {verdict.PASS}:
        return GO_ON
    return STOP if last else AGAIN
