# SPDX-License-Identifier: Apache-2.0
"""app_flags: the app's feature flags as code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings, SettingsError
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Kind,
    Problems,
    flag,
    mapping,
    number,
    sequence,
    shown,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

NAME = (
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "letters, digits, '.', '_' and '-', a letter or digit first, at most 100 characters",
)
CONTEXT = (r"[A-Za-z][A-Za-z0-9_.-]{0,99}", "the name of a field of the context, like 'userId'")
# https://docs.getunleash.io/reference/feature-toggle-types, as of Unleash 8.
TYPES = ("release", "experiment", "operational", "kill-switch", "permission")
# They are for a change that ends: without a date they stay for ever.
TEMPORARY = ("release", "experiment")
# Instead of a share.
GRADUAL = "gradual"
MANY = ("IN", "NOT_IN", "STR_CONTAINS", "STR_STARTS_WITH", "STR_ENDS_WITH")
ONE = (
    *("NUM_EQ", "NUM_GT", "NUM_GTE", "NUM_LT", "NUM_LTE"),
    *("DATE_AFTER", "DATE_BEFORE", "SEMVER_EQ", "SEMVER_GT", "SEMVER_LT"),
)


def day() -> Kind:
    """A date, which YAML may have read as one; kept as text."""

    def read(value: Any, path: str, problems: Problems) -> str | None:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        try:
            return date.fromisoformat(value).isoformat() if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else _no(value)
        except (TypeError, ValueError):
            problems.add(path, f"must be a date like '2027-03-31', not {shown(value)}", value)
            return None

    return Kind(read, None)


def _no(value: Any) -> str:
    raise ValueError(value)


def switch() -> Kind:
    """True, false, or the environments in which it is true; kept as true, false or a list."""

    def read(value: Any, path: str, problems: Problems) -> bool | list[str] | None:
        if isinstance(value, Sequence) and not isinstance(value, str):
            names = text(pattern=r"[a-z][a-z0-9-]{0,30}", means="a name that app_environment has in some inventory")
            return list(sequence(names).read(value, path, problems) or [])
        if isinstance(value, bool) or str(value).lower() in ("true", "false", "yes", "no"):
            return bool(flag().read(value, path, problems))
        problems.add(path, f"must be true, false or a list of environments, not {shown(value)}", value)
        return None

    return Kind(read, False)


def scalars() -> Kind:
    """A list of strings and numbers, kept as text: YAML reads ids as numbers."""

    def read(value: Any, path: str, problems: Problems) -> str | None:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and 0 < len(str(value)) <= 100:
            return str(value)
        problems.add(path, f"must be a string or number of at most 100 characters, not {shown(value)}", value)
        return None

    return sequence(Kind(read), default=[])


def share() -> Kind:
    """A share in per cent, or that it is the business of rollout.yml."""
    percent = number(100, 0, 100, whole=True)

    def read(value: Any, path: str, problems: Problems) -> Any:
        if isinstance(value, str) and not value.strip().isdigit():
            if value != GRADUAL:
                problems.add(path, f"must be 0 to 100, or {GRADUAL!r}, not {shown(value)}", value)
            return value
        return percent.read(value, path, problems)

    return Kind(read, 100)


# How rollout.yml goes on.
ROLLOUT = struct(
    {
        "steps": sequence(number(least=1, most=100, whole=True), default=[10, 50, 100]),
        "interval": number(300, 1, 86400),  # seconds before each check
        "checks": number(3, 1, 100, whole=True),  # at each step, at most
        "analysis": mapping(number(), {}, r"[a-z][a-z0-9_]*", "a setting of the canary's verdict"),
    },
    default={},
)
FLAG = struct(
    {
        "description": text("", r"[^\n]{0,250}", "one line of at most 250 characters"),
        "type": text("release", choices=TYPES),
        "owner": text(
            pattern=r"[A-Za-z0-9][\w@.+/-]{0,40}", means="a person or team in one word of at most 41 characters"
        ),
        "expires": day(),
        "enabled": switch(),
        # One that matches is enough.
        "strategies": sequence(
            struct(
                {
                    "rollout": share(),
                    "stickiness": text("default", *CONTEXT),
                    "users": scalars(),
                    "constraints": sequence(
                        struct(
                            {
                                "context": text("", *CONTEXT),
                                "operator": text("IN", choices=(*MANY, *ONE)),
                                "values": scalars(),
                                "inverted": flag(False),
                            }
                        ),
                        default=[],
                    ),
                }
            ),
            default=[{"rollout": 100, "stickiness": "default", "users": [], "constraints": []}],
        ),
        # What people are meant to do, for result.yml.
        "goal": text("", r"[A-Z]+ /[^\s?]*", "a method and a path, in which * is anything, like 'POST /api/bookings'"),
        "variants": sequence(
            struct(
                {
                    "name": text(pattern=NAME[0], means=NAME[1]),
                    "weight": number(least=0, most=100),
                    "payload": text(None, r"(?s).{0,4000}", "text of at most 4000 characters"),
                }
            ),
            default=[],
        ),
    }
)
FLAGS = mapping(FLAG, {}, *NAME)


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check what a flag's parts say of each other, and that services ask for flags that are there."""
    flags = contract["app_flags"]
    for name, one in flags.items():
        path, raw = f"app_flags.{name}", given["app_flags"][name]
        if one["type"] in TEMPORARY and not one["expires"]:
            problems.add(
                f"{path}.expires",
                f"is missing: a flag of type {one['type']} is temporary; say by which day it is gone",
                raw,
            )
        if not one["strategies"]:
            problems.add(
                f"{path}.strategies", "is empty, which is on for everybody: leave it out, or use enabled: false", raw
            )
        for index, strategy in enumerate(one["strategies"]):
            _check_constraints(f"{path}.strategies[{index}].constraints", strategy["constraints"], raw, problems)
        _check_variants(f"{path}.variants", one["variants"], raw, problems)
    steps = contract["app_rollout"]["steps"]
    if not steps or sorted(set(steps)) != steps:
        problems.add("app_rollout.steps", "must rise from step to step: who has a flag keeps it", given["app_rollout"])
    try:
        Settings.from_data(contract["app_rollout"]["analysis"])
    except SettingsError as error:
        problems.add("app_rollout.analysis", f"is wrong: {error}", given["app_rollout"])
    for name, service in contract["app_services"].items():
        for wanted in service["flags"]:
            if wanted not in flags:
                line = f"names {wanted!r}, which is not in app_flags: {did_you_mean(wanted, flags)}"
                problems.add(f"app_services.{name}.flags", line, given["app_services"][name])


def _check_constraints(path: str, constraints: Sequence[Mapping[str, Any]], raw: Any, problems: Problems) -> None:
    for index, one in enumerate(constraints):
        if not one["context"]:
            problems.add(f"{path}[{index}].context", "is missing", raw)
        if not one["values"]:
            problems.add(f"{path}[{index}].values", "is missing: with which values is it compared?", raw)
        elif one["operator"] in ONE and len(one["values"]) > 1:
            line = f"has {len(one['values'])} values: the operator {one['operator']} compares with one"
            problems.add(f"{path}[{index}].values", line, raw)


def _check_variants(path: str, variants: Sequence[Mapping[str, Any]], raw: Any, problems: Problems) -> None:
    names = [one["name"] for one in variants]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(path, f"has {name!r} twice", raw)
    total = round(sum(one["weight"] for one in variants), 1)
    if variants and total != 100:
        problems.add(path, f"have weights of {total:g} together: they are per cent, and add up to 100", raw)


def resolved(contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags with what is true in this inventory's environment."""
    environment = contract["app_environment"]
    return {
        name: {**one, "enabled": environment in one["enabled"] if isinstance(one["enabled"], list) else one["enabled"]}
        for name, one in contract["app_flags"].items()
    }


def asked_for(contract: Mapping[str, Any]) -> list[str]:
    """Return the flags that some service's code asks for."""
    return sorted({name for service in contract["app_services"].values() for name in service["flags"]})
