# SPDX-License-Identifier: Apache-2.0
"""A flag in three shapes: of the inventory, of Unleash's admin API, and the one in which the two are compared. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import template

Flag = dict[str, Any]

# Unleash has no field for these: they are tags.
MANAGED = "sluice"
OWNER, EXPIRES = "owner=", "expires="
ROLLOUT = "flexibleRollout"
SINGLE = ("NUM_", "DATE_", "SEMVER_")
# The share of a strategy is what a rollout has made of it.
GRADUAL = "gradual"


def wanted(
    flags: Mapping[str, Mapping[str, Any]], killed: Iterable[str] = (), observed: Mapping[str, Flag] | None = None
) -> dict[str, Flag]:
    """Return the flags of a contract as they are to be in its environment; what is killed stays off.

    A share that is ``gradual`` stays as ``observed`` in Unleash, and begins with nobody.
    """
    off = set(killed)
    seen = observed or {}
    return {
        name: {
            "type": one["type"],
            "description": one["description"],
            "tags": sorted([MANAGED, OWNER + one["owner"], *([EXPIRES + one["expires"]] if one["expires"] else [])]),
            "enabled": bool(one["enabled"]) and name not in off,
            "strategies": [
                _strategy(name, {**strategy, "rollout": _share(strategy, index, seen.get(name))}, one["variants"])
                for index, strategy in enumerate(one["strategies"])
            ],
        }
        for name, one in flags.items()
    }


def _share(strategy: Mapping[str, Any], index: int, seen: Flag | None) -> int:
    if strategy["rollout"] != GRADUAL:
        return int(strategy["rollout"])
    there = seen["strategies"][index : index + 1] if seen else []
    return share_of(there[0]) if there and there[0]["name"] == ROLLOUT else 0


def share_of(strategy: Mapping[str, Any]) -> int:
    """Return the share of a strategy in Unleash, in per cent."""
    return int(float(strategy["parameters"].get("rollout", 100)))


def _strategy(name: str, strategy: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> Flag:
    users = [{"context": "userId", "operator": "IN", "values": strategy["users"]}] if strategy["users"] else []
    stickiness = strategy["stickiness"]
    return {
        "name": ROLLOUT,
        "parameters": {"rollout": str(strategy["rollout"]), "stickiness": stickiness, "groupId": name},
        "constraints": [_constraint(one) for one in [*users, *strategy["constraints"]]],
        "variants": _variants(variants, stickiness),
        "segments": [],
        "disabled": False,
    }


def _constraint(one: Mapping[str, Any]) -> Flag:
    single = one["operator"].startswith(SINGLE)
    values = {"value": one["values"][0]} if single else {"values": list(one["values"])}
    inverted = {"inverted": True} if one.get("inverted") else {}
    return {"contextName": one["context"], "operator": one["operator"], **values, **inverted}


def _variants(variants: Sequence[Mapping[str, Any]], stickiness: str) -> list[Flag]:
    """Unleash counts in thousandths, and wants one variant that takes what the others leave."""
    shares = [round(one["weight"] * 10) for one in variants]
    found = []
    for index, one in enumerate(variants):
        last = index == len(variants) - 1
        payload = {} if one["payload"] is None else {"payload": {"type": "string", "value": one["payload"]}}
        found.append(
            {
                "name": one["name"],
                "weight": 1000 - sum(shares[:-1]) if last else shares[index],
                "weightType": "variable" if last else "fix",
                "stickiness": stickiness,
                **payload,
            }
        )
    return found


def observed(export: Mapping[str, Any]) -> dict[str, Flag]:
    """Return the flags of one environment from what ``/features-batch/export`` answers; strategies have their ``id``."""
    enabled = {one["featureName"]: bool(one["enabled"]) for one in export.get("featureEnvironments", [])}
    strategies: dict[str, list[Flag]] = {}
    for one in export.get("featureStrategies", []):
        strategies.setdefault(one["featureName"], []).append(_read_strategy(one))
    tags: dict[str, list[str]] = {}
    for one in export.get("featureTags", []):
        if one["tagType"] == "simple":
            tags.setdefault(one["featureName"], []).append(one["tagValue"])
    return {
        one["name"]: {
            "type": one["type"],
            "description": one.get("description") or "",
            # Those that are nobody's here are left alone.
            "tags": sorted(tag for tag in tags.get(one["name"], []) if _is_ours(tag)),
            "enabled": enabled.get(one["name"], False),
            "strategies": strategies.get(one["name"], []),
        }
        for one in export.get("features", [])
    }


def _is_ours(tag: str) -> bool:
    return tag == MANAGED or tag.startswith((OWNER, EXPIRES))


def _read_strategy(one: Mapping[str, Any]) -> Flag:
    return {
        "id": one["id"],
        "name": one["name"],
        "parameters": {key: str(value) for key, value in (one.get("parameters") or {}).items()},
        "constraints": [_read_constraint(item) for item in one.get("constraints") or []],
        "variants": [
            {
                key: item[key]
                for key in ("name", "weight", "weightType", "stickiness", "payload")
                if item.get(key) is not None
            }
            for item in one.get("variants") or []
        ],
        "segments": list(one.get("segments") or []),
        "disabled": bool(one.get("disabled")),
    }


def _read_constraint(one: Mapping[str, Any]) -> Flag:
    """Without what says nothing, which Unleash answers or leaves out depending on who wrote it."""
    single = one["operator"].startswith(SINGLE)
    values = (
        {"value": str(one.get("value", ""))}
        if single
        else {"values": [str(value) for value in one.get("values") or []]}
    )
    more = {key: True for key in ("inverted", "caseInsensitive") if one.get(key)}
    return {"contextName": one["contextName"], "operator": one["operator"], **values, **more}


def without_ids(flag: Mapping[str, Any]) -> Flag:
    """Return a flag as it is compared."""
    return {
        **flag,
        "strategies": [{key: value for key, value in one.items() if key != "id"} for one in flag["strategies"]],
    }


def for_the_inventory(name: str, flag: Mapping[str, Any]) -> tuple[Flag, list[str]]:
    """Return an observed flag in the inventory's shape, and what of it that shape cannot say.

    Without an owner in Unleash it is ``unknown``, which the contract takes and a person will see.
    """
    lost: list[str] = []
    strategies = []
    for one in flag["strategies"]:
        if one["name"] != ROLLOUT:
            lost.append(f"strategy {one['name']}")
            continue
        lost += [f"segment {segment}" for segment in one["segments"]] + ["a disabled strategy"] * one["disabled"]
        strategies.append(_given_strategy(name, one, lost))
    tags = flag["tags"]
    expires = [tag.removeprefix(EXPIRES) for tag in tags if tag.startswith(EXPIRES)]
    each = [[_given_variant(one) for one in item["variants"]] for item in flag["strategies"]]
    variants = each[0] if each else []
    if any(one != variants for one in each):
        lost.append("variants that differ between strategies")
    lost += _lost_of_variants(flag["strategies"])
    given: Flag = {
        "type": flag["type"],
        **({"description": flag["description"].replace("\n", " ")} if flag["description"] else {}),
        "owner": next((tag.removeprefix(OWNER) for tag in tags if tag.startswith(OWNER)), "unknown"),
        **({"expires": expires[0]} if expires else {}),
        "enabled": flag["enabled"],
        "strategies": strategies,
        **({"variants": variants} if variants else {}),
    }
    return _inert(given, lost), lost


def _inert(value: Any, lost: list[str]) -> Any:
    """Return a value of Unleash without templates: in an inventory Ansible would execute what anybody wrote there."""
    if isinstance(value, Mapping):
        return {key: _inert(one, lost) for key, one in value.items()}
    if isinstance(value, list):
        return [_inert(one, lost) for one in value]
    if isinstance(value, str) and template.held(value):
        lost.append(f"a template: {value[:60]!r}")
        return "a template was here"
    return value


def _given_strategy(name: str, one: Mapping[str, Any], lost: list[str]) -> Flag:
    parameters = one["parameters"]
    if parameters.get("groupId", name) != name:
        lost.append(f"groupId {parameters['groupId']}")
    given: Flag = {
        "rollout": share_of(one),
        "stickiness": parameters.get("stickiness", "default"),
    }
    constraints = []
    for item in one["constraints"]:
        if item.get("caseInsensitive"):
            lost.append(f"a constraint on {item['contextName']} without regard to case")
        values = item.get("values") or [item["value"]]
        if (
            item["contextName"] == "userId"
            and item["operator"] == "IN"
            and not item.get("inverted")
            and "users" not in given
        ):
            given["users"] = values
        else:
            inverted = {"inverted": True} if item.get("inverted") else {}
            constraints.append(
                {"context": item["contextName"], "operator": item["operator"], "values": values, **inverted}
            )
    return {**given, **({"constraints": constraints} if constraints else {})}


def _given_variant(one: Mapping[str, Any]) -> Flag:
    payload, weight = one.get("payload"), one["weight"] / 10
    said = int(weight) if weight == int(weight) else weight
    return {"name": one["name"], "weight": said, **({"payload": payload["value"]} if payload else {})}


def _lost_of_variants(strategies: Sequence[Mapping[str, Any]]) -> list[str]:
    lost = []
    for strategy in strategies:
        for one in strategy["variants"]:
            if one.get("payload") and one["payload"]["type"] != "string":
                lost.append(f"variant {one['name']} with a payload of type {one['payload']['type']}")
            if one.get("stickiness", "default") != strategy["parameters"].get("stickiness", "default"):
                lost.append(f"variant {one['name']} by {one.get('stickiness')}")
    return lost
