# SPDX-License-Identifier: Apache-2.0
"""What a check is made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Facts = Mapping[str, Any]


class Unknown(Exception):
    """The check cannot tell; the message says why, and ``fix`` what would help."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.fix = fix


class NotHere(Exception):
    """The check is about something this host does not have."""


class Answer(NamedTuple):
    """What is wrong, a line each, and what is fine when nothing is."""

    problems: Sequence[str]
    fine: str


class Rule(NamedTuple):
    """A check: its name, how bad a failure is, what to do about it, and the function that looks."""

    name: str
    severity: str
    look: Callable[[Facts], Answer]
    fix: str


def part(facts: Facts, name: str, fix: str = "") -> Any:
    """Return a part of the facts; raises Unknown, with what would help, where the host could not give it."""
    found = facts["host"][name]
    if isinstance(found, Mapping) and "missing" in found:
        raise Unknown(str(found["missing"]), fix)
    return found
