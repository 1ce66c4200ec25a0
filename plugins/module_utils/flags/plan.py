# SPDX-License-Identifier: Apache-2.0
"""What has to be changed in Unleash, and what is odd there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.flags.shape import MANAGED, Flag, without_ids

Step = dict[str, Any]
# At 100 per cent for so long, a flag has done its work.
FULL_DAYS = 30


def steps(wanted: Mapping[str, Flag], observed: Mapping[str, Flag], archive: bool = False) -> list[Step]:
    """Return what to do, in order, each {do, flag} and its data; nothing for flags that are as they should be.

    A flag that goes off does so first, one that goes on does so last. It never has no strategy meanwhile: Unleash takes that as on for everybody.
    """
    found: list[Step] = []
    for name, flag in wanted.items():
        found += _steps(name, flag, observed.get(name))
    if archive:
        found += [{"do": "archive", "flag": name} for name in left_over(wanted, observed)]
    return found


def _steps(name: str, flag: Flag, seen: Flag | None) -> list[Step]:
    found: list[Step] = []
    if seen is None:
        found.append({"do": "create", "flag": name, "type": flag["type"], "description": flag["description"]})
        seen = {
            "type": flag["type"],
            "description": flag["description"],
            "tags": [],
            "enabled": False,
            "strategies": [],
        }
    elif (seen["type"], seen["description"]) != (flag["type"], flag["description"]):
        found.append({"do": "describe", "flag": name, "type": flag["type"], "description": flag["description"]})
    if seen["enabled"] and not flag["enabled"]:
        found.append({"do": "off", "flag": name})
    add, remove = [
        [tag for tag in one["tags"] if tag not in other["tags"]] for one, other in ((flag, seen), (seen, flag))
    ]
    if add or remove:
        found.append({"do": "tag", "flag": name, "add": add, "remove": remove})
    have = without_ids(seen)["strategies"]
    for index, strategy in enumerate(flag["strategies"]):
        if index >= len(have):
            found.append({"do": "add_strategy", "flag": name, "strategy": strategy})
        elif have[index] != strategy:
            # A strategy keeps its name for life.
            if have[index]["name"] != strategy["name"]:
                found.append({"do": "add_strategy", "flag": name, "strategy": strategy})
                found.append({"do": "remove_strategy", "flag": name, "id": seen["strategies"][index]["id"]})
            else:
                found.append(
                    {"do": "set_strategy", "flag": name, "id": seen["strategies"][index]["id"], "strategy": strategy}
                )
    surplus = seen["strategies"][len(flag["strategies"]) :]
    found += [{"do": "remove_strategy", "flag": name, "id": one["id"]} for one in surplus]
    if flag["enabled"] and not seen["enabled"]:
        found.append({"do": "on", "flag": name})
    return found


def left_over(wanted: Collection[str], observed: Mapping[str, Flag]) -> list[str]:
    """Return the flags in Unleash that came from an inventory, and are in it no more."""
    return sorted(name for name, flag in observed.items() if MANAGED in flag["tags"] and name not in wanted)


def unmanaged(wanted: Collection[str], observed: Mapping[str, Flag]) -> list[str]:
    """Return the flags that somebody made in Unleash."""
    return sorted(name for name, flag in observed.items() if MANAGED not in flag["tags"] and name not in wanted)


def drift(wanted: Mapping[str, Flag], observed: Mapping[str, Flag]) -> list[str]:
    """Return a line for each difference between the inventory and Unleash, as ``flag: what: Unleash → inventory``."""
    lines = []
    for name, flag in sorted(wanted.items()):
        if name not in observed:
            lines.append(f"{name}: not in Unleash yet")
            continue
        seen = without_ids(observed[name])
        for key in ("type", "description", "enabled", "tags"):
            if seen[key] != flag[key]:
                lines.append(f"{name}: {key}: {_said(seen[key])} → {_said(flag[key])}")
        if seen["strategies"] != flag["strategies"]:
            lines.append(f"{name}: {_rollouts(seen['strategies'])} → {_rollouts(flag['strategies'])}")
    return lines


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return (" ".join(value) if isinstance(value, list) else str(value)) or "none"


def _rollouts(strategies: Sequence[Mapping[str, Any]]) -> str:
    return ", or ".join(_rollout(one) for one in strategies) or "no strategy"


def _rollout(one: Mapping[str, Any]) -> str:
    parameters = one["parameters"]
    share = (
        f"{parameters['rollout']} % by {parameters.get('stickiness', 'default')}"
        if "rollout" in parameters
        else one["name"]
    )
    parts = [f"{item['contextName']} {item['operator']} {_shortly(item)}" for item in one["constraints"]]
    parts += [f"segment {segment}" for segment in one["segments"]]
    variants = " ".join(f"{item['name']}:{item['weight'] / 10:g}" for item in one["variants"])
    return f"{share}{' where ' + ' and '.join(parts) if parts else ''}{' as ' + variants if variants else ''}{', disabled' if one['disabled'] else ''}"


def _shortly(item: Mapping[str, Any]) -> str:
    values = item.get("values") or [item.get("value", "")]
    return ",".join(values[:3]) + (f" and {len(values) - 3} more" if len(values) > 3 else "")


def is_full(flag: Mapping[str, Any]) -> bool:
    """Whether a flag is on for everybody."""
    return bool(flag["enabled"]) and any(
        not one["disabled"]
        and not one["constraints"]
        and not one["segments"]
        and one["parameters"].get("rollout", "100") == "100"
        for one in flag["strategies"]
    )


def stale(
    flags: Mapping[str, Mapping[str, Any]],
    observed: Mapping[str, Flag],
    in_code: Collection[str] | None,
    changed: Mapping[str, float],
    now: datetime,
) -> list[str]:
    """Return a line for each flag whose time is over.

    ``flags`` are the inventory's, ``changed`` maps flags to when they last changed in Unleash, in seconds of the epoch. ``in_code`` are the flags
    that services ask for; None where no service says.
    """
    lines = []
    for name, flag in sorted(flags.items()):
        if flag["expires"] and date.fromisoformat(flag["expires"]) < now.date():
            lines.append(f"{name}: expired on {flag['expires']}; its owner is {flag['owner']}")
        age = (now.timestamp() - changed[name]) / 86400 if name in changed else 0
        # Two variants are an experiment that runs; a kill switch and a permission are meant to stay.
        if (
            flag["type"] in ("release", "experiment")
            and not flag["variants"]
            and name in observed
            and is_full(observed[name])
            and age >= FULL_DAYS
        ):
            lines.append(
                f"{name}: on for everybody for {age:.0f} days: take it out of the code, then out of app_flags; its owner is {flag['owner']}"
            )
        if in_code is not None and name not in in_code:
            lines.append(f"{name}: no service asks for it: take it out of app_flags; its owner is {flag['owner']}")
    return lines


def lines(done: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a run found, for people: differences, oddities, and flags that are switched off on hosts."""
    found = [f"differs     {line}" for line in done.get("drift", [])]
    found += [
        f"killed      {one['flag']}: since {one['time'][:19]}Z by {one['who']}{': ' + one['reason'] if one['reason'] else ''}"
        for one in events
        if one["action"] == "kill"
    ]
    found += [f"stale       {line}" for line in done.get("stale", [])]
    found += [
        f"left over   {name}: came from app_flags and is in it no more; -e flags_archive=true archives it"
        for name in done.get("left_over", [])
    ]
    found += [
        f"only there  {name}: somebody made it in Unleash; -e flags_export=FILE shows it for app_flags"
        for name in done.get("unmanaged", [])
    ]
    said = (done.get("export") or {}).get("not_said") or {}
    found += [f"no words    {name}: app_flags cannot say {', '.join(lost)}" for name, lost in said.items()]
    return found or ["Unleash says what app_flags says"]
