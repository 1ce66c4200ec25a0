# SPDX-License-Identifier: Apache-2.0
"""All gates by name, and their answers for one release. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.gates import from_files, from_hosts
from ansible_collections.sluice.stack.plugins.module_utils.gates.approval import approval
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import OK, UNKNOWN, WAIVED, Result
from ansible_collections.sluice.stack.plugins.module_utils.gates.signature import signature
from ansible_collections.sluice.stack.plugins.module_utils.gates.window import window

PRE, POST, PRODUCTION = "pre-deploy", "post-deploy", "production"
CHECKLISTS = (PRE, POST, PRODUCTION)
BEFORE = (PRE, PRODUCTION)


@dataclass(frozen=True)
class Gate:
    """``looks`` are the parts of module gate_facts that it is judged by."""

    judge: Callable[[Facts, Mapping[str, Any]], Result]
    checklists: Sequence[str]
    looks: Sequence[str] = ()


GATES: dict[str, Gate] = {
    "tests": Gate(from_files.tests, BEFORE),
    "scans": Gate(from_files.scans, BEFORE),
    "migrations": Gate(from_files.migrations, BEFORE),
    "signature": Gate(signature, BEFORE, ("images",)),
    "window": Gate(window, BEFORE),
    "backup": Gate(from_hosts.backup, CHECKLISTS, ("backups",)),
    "rollback_target": Gate(from_hosts.rollback_target, CHECKLISTS, ("release",)),
    "certificates": Gate(from_hosts.certificates, CHECKLISTS, ("release",)),
    "capacity": Gate(from_hosts.capacity, CHECKLISTS, ("release",)),
    "drill": Gate(from_hosts.drill, (PRODUCTION,), ("backups",)),
    "load_test": Gate(from_files.load_test, (PRODUCTION,)),
    "security": Gate(from_files.security, (PRODUCTION,)),
    # An approval may name digests.
    "approval": Gate(approval, (PRODUCTION,), ("images",)),
    "alerts": Gate(from_hosts.alerts, (POST, PRODUCTION), ("monitoring",)),
    "error_budget": Gate(from_hosts.error_budget, (PRODUCTION,), ("monitoring",)),
    "flags": Gate(from_hosts.flags, (PRODUCTION,), ("release",)),
    "live": Gate(from_hosts.live, (POST,), ("release",)),
}


def of_checklist(checklist: str) -> list[str]:
    """The gates of a checklist, in its order."""
    return [name for name, gate in GATES.items() if checklist in gate.checklists]


def looks(names: Iterable[str]) -> list[str]:
    """What has to be looked at on hosts."""
    return sorted({look for name in names for look in GATES[name].looks})


def judge(
    facts: Facts, asked: Sequence[Mapping[str, Any]], waivers: Sequence[Mapping[str, Any]]
) -> tuple[list[Result], list[dict[str, Any]]]:
    """Return the answers of the gates asked for, each {name, options}, and the waivers that were used."""
    results, used = [], []
    for one in asked:
        result = _judged(facts, one["name"], one["options"])
        waiver = None if result.passes else _waiver(one["name"], waivers)
        if waiver and waiver["until"] >= facts.now:
            used.append({**waiver, "evidence": result.evidence})
            result = replace(
                result,
                state=WAIVED,
                fix="",
                evidence=f"{result.evidence}; waived by {waiver['by']} until {day(waiver)}: {waiver['reason']}",
            )
        elif waiver:
            ended = f"the waiver by {waiver['by']} ended {day(waiver)}"
            result = replace(result, evidence=f"{result.evidence}; {ended}")
        results.append(result)
    return results, used


def _judged(facts: Facts, name: str, options: Mapping[str, Any] | None) -> Result:
    if options is None:
        return Result(name, UNKNOWN, "it is not configured", f"add {name} to app_gates, or waive it with a reason")
    return GATES[name].judge(facts, options)


def _waiver(name: str, waivers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The waiver of a gate that lasts longest."""
    return max((one for one in waivers if one["gate"] == name), key=lambda one: float(one["until"]), default=None)


def day(waiver: Mapping[str, Any]) -> str:
    """When a waiver ends."""
    return datetime.fromtimestamp(waiver["until"], UTC).strftime("%Y-%m-%d")


def lines(results: Sequence[Result]) -> list[str]:
    """The answers as a table, what to do below each that does not pass."""
    wide = max((len(one.name) for one in results), default=0)
    found = []
    for one in results:
        found.append(f"{one.name:<{wide}}  {one.state if one.passes else one.state.upper():<7}  {one.evidence}")
        if not one.passes:
            found.append(f"{'':<{wide}}           → {one.fix}")
    return found


def plan_lines(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The answers as lines of the printed plan; those that do not pass are seen in check mode only."""
    return [
        f"  {'gate':<10} {one['name']}: {'' if one['state'] == OK else one['state'].upper() + ': '}{one['evidence']}"
        for one in checks
    ]


def refusal(results: Sequence[Result]) -> str:
    """Why a deploy must not begin, the first line for the first such gate; empty when it may."""
    open_ = [one for one in results if not one.passes]
    if not open_:
        return ""
    said = [_sentence(one) for one in open_]
    more = f" (and {len(open_) - 1} more)" if len(open_) > 1 else ""
    return "\n".join([f"{said[0]}{more}. Nothing was changed.", *(f"  {line}" for line in said[1:])])


def _sentence(one: Result) -> str:
    how = "is not proved" if one.state == UNKNOWN else "failed"
    return f"gate {one.name} {how}: {one.evidence.rstrip('.')}. {one.fix[:1].upper()}{one.fix[1:]}"
