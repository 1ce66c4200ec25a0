# SPDX-License-Identifier: Apache-2.0
"""The matrix: what each environment has of every variable of the app, and in what else they may differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import (
    Kind,
    Problems,
    flag,
    mapping,
    scalar,
    sequence,
    shown,
    struct,
    text,
)
from ansible_collections.sluice.stack.plugins.module_utils.contract.secret_reference import ENV_NAME, FORMS
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

NAME = (r"[A-Za-z0-9][A-Za-z0-9._-]*", "the name of an inventory beside the matrix")
# Where a secret is kept: Ansible Vault in the inventory, or one of the stores.
SOURCES = ("inventory", *FORMS)


class MatrixError(Exception):
    """The matrix is wrong; a line for each fault."""


@dataclass(frozen=True)
class Variable:
    """What the environments have of one variable."""

    name: str
    values: Mapping[str, str]  # by environment; none: any value
    secret: bool
    sources: Mapping[str, str]  # of a secret, by environment; none: anywhere
    shared: bool  # whether two environments may have the same
    required: tuple[str, ...]  # the environments that must have it
    example: str
    about: str


@dataclass(frozen=True)
class Matrix:
    """All of it. ``differ`` are the other settings of the contract that may differ, such as ``app_services.backend.replicas``."""

    environments: tuple[str, ...]
    variables: tuple[Variable, ...]
    differ: tuple[str, ...]


def _required() -> Kind:
    """True, false, or the environments that must have it."""

    def read(value: Any, path: str, problems: Problems) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [str(one) for one in value]
        problems.add(path, f"must be true, false or a list of environments, not {shown(value)}", value)
        return None

    return Kind(read, True)


def _each(kind: Kind) -> Kind:
    """One value for all environments, or a map of them by environment."""
    by_name = mapping(kind)

    def read(value: Any, path: str, problems: Problems) -> Any:
        return (by_name if isinstance(value, Mapping) else kind).read(value, path, problems)

    return Kind(read, None)


VARIABLE = struct(
    {
        "values": _each(scalar()),
        "secret": flag(False),
        "source": _each(text(choices=SOURCES)),
        "shared": flag(None),  # none: a secret must not be, a value may
        "required": _required(),
        "example": text(""),
        "about": text("", r"[^\n]*", "one line"),
    }
)
MATRIX = struct(
    {
        "environments": sequence(text(None, *NAME)),
        "variables": mapping(VARIABLE, {}, *ENV_NAME),
        "differ": sequence(text(None, r"app_[^\s]*", "a path of the contract like app_services.backend.replicas"), []),
    }
)


def read(given: Any, origin: Any = lambda _unused: None) -> Matrix:
    """Return the matrix of a file's content. Raises MatrixError."""
    problems = Problems(origin)
    found = MATRIX.read(given, "matrix", problems)
    if problems.lines or found is None:
        raise MatrixError("; ".join(problems.lines))
    names = tuple(found["environments"])
    variables = tuple(_variable(name, one, names, problems) for name, one in found["variables"].items())
    if problems.lines:
        raise MatrixError("; ".join(problems.lines))
    return Matrix(names, variables, tuple(found["differ"]))


def _variable(name: str, given: Mapping[str, Any], names: Sequence[str], problems: Problems) -> Variable:
    path = f"matrix.variables.{name}"
    by_name = {key: _by_name(given[key], names) for key in ("values", "source")}
    required = given["required"]
    listed = list(names) if required is True else required or []
    for key, environments in {**by_name, "required": listed}.items():
        for one in environments:
            if one not in names:
                problems.add(f"{path}.{key}", f"names {one!r}: {did_you_mean(one, names)}")
    if given["secret"] and given["values"] is not None:
        problems.add(f"{path}.values", "is of a secret: its value belongs into the inventory's vault or a store")
    if not given["secret"] and given["source"] is not None:
        problems.add(f"{path}.source", "is for a secret: add secret: true, or remove it")
    shared = not given["secret"] if given["shared"] is None else given["shared"]
    example, about = given["example"], given["about"]
    return Variable(name, by_name["values"], given["secret"], by_name["source"], shared, tuple(listed), example, about)


def _by_name(given: Any, names: Sequence[str]) -> dict[str, str]:
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
