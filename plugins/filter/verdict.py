# SPDX-License-Identifier: Apache-2.0
"""The run's verdict after its steps, from every host's results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier


def verdict(
    before: barrier.Verdict,
    hostvars: Mapping[str, Mapping[str, Any]],
    targets: Mapping[str, list[str]],
    until: str = "",
    unreachable_allowed: Collection[str] = (),
    through: Mapping[str, str] | None = None,
) -> barrier.Verdict:
    """See the documentation in verdict.yml."""
    needless: set[str] = set()
    # A failure that a later step depends on is not only noted.
    noted = () if "revert" in targets else barrier.NOTED
    for step, hosts in targets.items():
        if step == until or not before["ok"]:
            break
        if step in needless:
            continue
        answers = {host: hostvars[(through or {}).get(host, host)].get(f"__release_{step}") for host in hosts}
        # A step of several rounds has judged them itself, and may have found that a later step has nothing to do.
        concluded = next((answer for answer in answers.values() if answer and "verdict" in answer), None)
        if concluded:
            before = concluded["verdict"]
            needless |= {*concluded.get("needless", ())}
        else:
            before = barrier.judge(step, answers, before, unreachable_allowed=unreachable_allowed, noted=noted)
    return before


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"verdict": verdict}
