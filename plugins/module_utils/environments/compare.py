# SPDX-License-Identifier: Apache-2.0
"""Compare environments with the matrix: what is missing, unnamed, different from it, or shared by mistake. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.environments.matrix import Matrix, Variable
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED, UNKNOWN, Result

# Of a contract: compared as variables, secret, or another in every environment by its nature.
NOT_SETTINGS = ("app_version", "app_environment", "app_env", "app_secrets", "app_secret_sources", "app_gate_waivers")


@dataclass(frozen=True)
class Held:
    """What an environment has of one variable."""

    value: str = ""  # empty for a secret: no value of one is ever held here
    secret: bool = False
    source: str = ""  # of a secret: a word of matrix.SOURCES
    place: str = ""  # where it is kept, for people
    fingerprint: str = ""  # of a secret: the same for equal ones
    problem: str = ""  # why it cannot be read
    locked: bool = False  # because the environment's key is not here


@dataclass(frozen=True)
class Environment:
    """One inventory. ``problem`` says why it cannot be read at all."""

    name: str
    variables: Mapping[str, Held] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def judge(matrix: Matrix, environments: Sequence[Environment]) -> list[Result]:
    """Return what is not as the matrix says; ``unknown`` is what this controller has no key for."""
    found = [
        Result(one.name, FAILED, one.problem, "mend the inventory, then compare again")
        for one in environments
        if one.problem
    ]
    readable = [one for one in environments if not one.problem]
    for variable in matrix.variables:
        found += _variable(variable, readable)
    known = {variable.name for variable in matrix.variables}
    for environment in readable:
        for name in sorted({*environment.variables} - known):
            found.append(
                Result(
                    name,
                    FAILED,
                    f"{environment.name} has it, the matrix does not",
                    "add it to the matrix, or remove it",
                )
            )
    for path, values in differences(readable).items():
        if not any(_covers(allowed, path) for allowed in matrix.differ):
            said = ", ".join(f"{name} {value}" for name, value in values.items())
            found.append(Result(path, FAILED, f"differs: {said}", "make it equal, or add it to differ in the matrix"))
    return found


def _variable(variable: Variable, environments: Sequence[Environment]) -> list[Result]:
    """Judge one variable; what is wrong in the same way in several environments is one line."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for environment in environments:
        for finding in _held(variable, environment):
            alike.setdefault(finding, []).append(environment.name)
    found = [
        Result(variable.name, state, f"{', '.join(names)} {evidence}", fix)
        for (state, evidence, fix), names in alike.items()
    ]
    return found if variable.shared else [*found, *_shared(variable, environments)]


def _held(variable: Variable, environment: Environment) -> Iterator[tuple[str, str, str]]:
    """Yield state, evidence and what to do for each thing that is wrong in one environment."""
    where, held = environment.name, environment.variables.get(variable.name)
    if held is None:
        if where in variable.required:
            yield FAILED, "has none", "give it to a service, or change required in the matrix"
        return
    if held.secret != variable.secret:
        said = "has a secret" if held.secret else "has a plain value"
        fix = (
            "move it to app_secrets" if variable.secret else "set secret: true in the matrix, or make it a plain value"
        )
        yield FAILED, said, fix
        return
    if held.problem:
        fix = "run it where that environment's key is" if held.locked else "add it where it is kept"
        yield UNKNOWN if held.locked else FAILED, f"cannot be read: {held.problem}", fix
    expected, source = variable.values.get(where), variable.sources.get(where)
    if expected is not None and held.value != expected:
        yield FAILED, f"has {held.value!r}, the matrix {expected!r}", "change the one that is wrong"
    if source and held.source != source:
        yield FAILED, f"keeps it in {held.place}, the matrix in {source}", "change the one that is wrong"


def _shared(variable: Variable, environments: Sequence[Environment]) -> Iterator[Result]:
    """Yield each pair of environments that have the same, of what is their own."""
    for one, other in combinations(environments, 2):
        here, there = one.variables.get(variable.name), other.variables.get(variable.name)
        if here is None or there is None:
            continue
        same = (here.fingerprint, there.fingerprint) if variable.secret else (here.value, there.value)
        if same[0] and same[0] == same[1]:
            yield Result(
                variable.name, FAILED, f"{one.name} and {other.name} have the same", "give each environment its own"
            )


def settings(contract: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a contract by their paths, without secrets and what is compared as variables."""
    found: dict[str, str] = {}
    for key, value in contract.items():
        if key not in NOT_SETTINGS:
            _flatten(key, {name: _own(one) for name, one in value.items()} if key == "app_services" else value, found)
    return found


def _own(service: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in service.items() if key not in ("env", "secrets")}


def _flatten(path: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            _flatten(f"{path}.{key}", item, found)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, item in enumerate(value):
            _flatten(f"{path}[{index}]", item, found)
    else:
        found[path] = "none" if value in (None, "", [], {}) else str(value)


def differences(environments: Sequence[Environment]) -> dict[str, dict[str, str]]:
    """Return the settings that are not the same everywhere: path → environment → value."""
    paths = sorted({path for one in environments for path in one.settings})
    found = {path: {one.name: one.settings.get(path, "none") for one in environments} for path in paths}
    return {path: values for path, values in found.items() if len({*values.values()}) > 1}


def _covers(allowed: str, path: str) -> bool:
    """Whether an entry of ``differ`` covers a path: the path itself, or all below it. ``*`` is any name or number."""
    pattern = re.escape(allowed).replace(r"\*", r"[^.\[\]]+")
    return re.match(rf"{pattern}(?![^.\[])", path) is not None
