# SPDX-License-Identifier: Apache-2.0
"""The audit's result as a table for people, as data for programs, and in one line. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.security.check import STATES, Check, failing, ordered

# Evidence in the table; the file has all of it.
WIDTH = 150


def lines(checks: Sequence[Check]) -> list[str]:
    """Format the table: what is not in order first, each with what to do. Hosts with the same answer share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for one in ordered(checks):
        evidence = "" if one.state == "ok" else one.evidence
        key = (one.state, "" if one.state == "ok" else one.severity, one.name, evidence, one.fix)
        rows.setdefault(key, []).append(one.host)
    return [*(line for key, hosts in rows.items() for line in _row(*key, hosts=hosts)), f"  {counted(checks)}"]


def _row(state: str, severity: str, name: str, evidence: str, fix: str, *, hosts: Sequence[str]) -> list[str]:
    head = f"  {state:<8} {severity:<9} {name:<21} {' '.join(hosts)}"
    return [head, *(f"{'':<20} {line}" for line in (_short(evidence), fix and f"→ {fix}") if line)]


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def counted(checks: Sequence[Check]) -> str:
    """Count the checks by state."""
    count = Counter(one.state for one in checks)
    return f"{len(checks)} checks: " + ", ".join(f"{count[state]} {state}" for state in reversed(STATES))


def verdict(checks: Sequence[Check], fail_at: str) -> str:
    """Return why the audit fails, in one line; empty when it does not."""
    bad = ordered(failing(checks, fail_at))
    if not bad:
        return ""
    names = list(dict.fromkeys(f"{one.name} on {one.host}" for one in bad))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    count = f"{len(bad)} check{'s' if len(bad) > 1 else ''}"
    return f"{count} failed with severity {fail_at} or higher: {', '.join(names[:5])}{more}. See docs/runbooks/security-check.md"


def data(checks: Sequence[Check], fail_at: str, time: str) -> Mapping[str, Any]:
    """Return the content of the JSON file."""
    count = Counter(one.state for one in checks)
    return {
        "time": time,
        "fail_at": fail_at,
        "ok": not failing(checks, fail_at),
        "counts": {state: count[state] for state in STATES},
        "checks": [one.as_data() for one in ordered(checks)],
    }
