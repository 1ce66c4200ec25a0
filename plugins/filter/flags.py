# SPDX-License-Identifier: Apache-2.0
"""What the hosts and Unleash said of flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.flags import plan, rollout, switches
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean


def flag_events(copies: Iterable[Iterable[switches.Event]]) -> list[switches.Event]:
    """See the documentation in flag_events.yml."""
    return list(switches.latest(copies).values())


def flag_lines(done: Mapping[str, Any], events: Sequence[switches.Event]) -> list[str]:
    """See the documentation in flag_lines.yml."""
    return plan.lines(done, events)


def flag_suggestion(name: str, flags: Iterable[str]) -> str:
    """See the documentation in flag_suggestion.yml."""
    return did_you_mean(name, flags)


def flag_pairs(definition: Mapping[str, Any]) -> list[dict[str, str]]:
    """See the documentation in flag_pairs.yml."""
    return rollout.pairs(definition)


def flag_steps(now: int, planned: Sequence[int], upto: int) -> list[int]:
    """See the documentation in flag_steps.yml."""
    return rollout.steps(planned, int(now), int(upto))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {
            "flag_events": flag_events,
            "flag_lines": flag_lines,
            "flag_pairs": flag_pairs,
            "flag_steps": flag_steps,
            "flag_suggestion": flag_suggestion,
        }
