# SPDX-License-Identifier: Apache-2.0
"""What a run knows after its steps, from the results that the hosts' steps registered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier, outcome
from ansible_collections.sluice.stack.plugins.module_utils.plan.barrier import Results, Verdict
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

Hostvars = Mapping[str, Mapping[str, Any]]


def verdict(
    before: Verdict,
    hostvars: Hostvars,
    targets: Mapping[str, list[str]],
    until: str = "",
    unreachable_allowed: Collection[str] = (),
    through: Mapping[str, str] | None = None,
) -> Verdict:
    """See the documentation in verdict.yml."""
    return barrier.verdict(
        before, _results(hostvars), targets, until=until, unreachable_allowed=unreachable_allowed, through=through
    )


def release_outcome(
    plan: Mapping[str, Any], hostvars: Hostvars, verdict: Verdict, hosts: Sequence[str]
) -> dict[str, Any]:
    """See the documentation in release_outcome.yml."""
    run = outcome.Run(plan, verdict, _results(hostvars), hosts, _now())
    failure = outcome.failure(run)
    return {"entries": outcome.entries(run), "failure": failure, "reverted": outcome.reverted_entry(run, failure)}


def restored_entry(run: Mapping[str, Any], token: int, to: Mapping[str, Any]) -> ledger.Entry:
    """See the documentation in restored_entry.yml."""
    return ledger.entry(
        "restored", token=int(token), time=_now(), run={**run, "action": "restore"}, manifest=None, to=to
    )


def _results(hostvars: Hostvars) -> Results:
    """Ansible rebuilds a host's variables at each access: read them once."""
    variables = cache(lambda host: hostvars[host])
    return lambda step, host: variables(host).get(f"__release_{step}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"verdict": verdict, "release_outcome": release_outcome, "restored_entry": restored_entry}
