# SPDX-License-Identifier: Apache-2.0
"""What a check of the security audit says, and how waivers and severities turn that into a verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

from ansible_collections.sluice.stack.plugins.module_utils import suggest

SEVERITIES = ("low", "medium", "high", "critical")
STATES = ("failed", "unknown", "waived", "ok")
WAIVER_KEYS = frozenset(("check", "hosts", "only", "reason", "until"))


@dataclass(frozen=True)
class Check:
    """One row of the report: the four fields of every gate, and where and how bad."""

    name: str
    state: str
    evidence: str
    fix: str
    host: str
    severity: str

    def as_data(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Look:
    """What a check saw on a host, before waivers. With ``unknown``, why it could not see, nothing else counts."""

    name: str
    host: str
    severity: str
    fix: str
    problems: tuple[str, ...] = ()
    fine: str = ""
    unknown: str = ""


@dataclass(frozen=True)
class Waiver:
    """A risk that somebody accepted: a check, on some hosts or all, for the problems that contain ``only``, until a day."""

    check: str
    reason: str
    until: date
    hosts: frozenset[str] = frozenset()
    only: str = ""

    def covers(self, look: Look, problem: str) -> bool:
        """Whether it is about this problem."""
        return self.check == look.name and (not self.hosts or look.host in self.hosts) and self.only in problem


class WaiverError(Exception):
    """A waiver of the inventory cannot be understood; the message says which and why."""


def waivers(given: object, known: Iterable[str], hosts: Iterable[str]) -> list[Waiver]:
    """Read ``security_waivers``; raises WaiverError."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise WaiverError(
            "security_waivers is not a list: each entry has check, reason and until (docs/runbooks/security-check.md)"
        )
    names, there = list(known), list(hosts)
    return [_waiver(f"security_waivers[{at}]", item, names, there) for at, item in enumerate(given)]


def _waiver(where: str, item: object, known: Sequence[str], hosts: Sequence[str]) -> Waiver:
    if not isinstance(item, Mapping):
        raise WaiverError(f"{where} is {item!r}: an entry has check, reason and until")
    for key in item:
        if key not in WAIVER_KEYS:
            raise WaiverError(f"{where}.{key} is unknown: {suggest.did_you_mean(str(key), WAIVER_KEYS)}")
    for key in ("check", "reason", "until"):
        if not str(item.get(key) or "").strip():
            raise WaiverError(f"{where}.{key} is missing: a waiver has a check, a reason and the day it ends")
    if item["check"] not in known:
        raise WaiverError(f"{where}.check is {item['check']!r}: {suggest.did_you_mean(str(item['check']), known)}")
    named = item.get("hosts") or []
    named = [named] if isinstance(named, str) else list(named)
    for host in named:
        if host not in hosts:
            raise WaiverError(f"{where}.hosts names {host!r}: {suggest.did_you_mean(str(host), hosts)}")
    try:
        until = date.fromisoformat(str(item["until"]))
    except ValueError:
        raise WaiverError(f"{where}.until is {item['until']!r}: write a day as 2027-06-30") from None
    return Waiver(str(item["check"]), str(item["reason"]), until, frozenset(named), str(item.get("only") or ""))


def judge(look: Look, accepted: Sequence[Waiver], today: date) -> Check:
    """Turn what was seen into a row. It is waived when waivers that have not ended cover every problem."""

    def row(state: str, evidence: str, fix: str = "") -> Check:
        return Check(look.name, state, evidence, fix, look.host, look.severity)

    if look.unknown:
        return row("unknown", look.unknown, look.fix)
    if not look.problems:
        return row("ok", look.fine)
    left: list[str] = []
    covered: dict[Waiver, list[str]] = {}
    for problem in look.problems:
        about = [one for one in accepted if one.covers(look, problem)]
        valid = [one for one in about if one.until >= today]
        if valid:
            covered.setdefault(valid[0], []).append(problem)
        else:
            ended = max((one.until for one in about), default=None)
            left.append(f"{problem} (its waiver ended on {ended})" if ended else problem)
    if left:
        return row("failed", "; ".join(left), look.fix)
    # What was accepted, before all that it covers.
    return row(
        "waived", "; ".join(f"until {one.until}, {one.reason}: {', '.join(them)}" for one, them in covered.items())
    )


def stale(accepted: Sequence[Waiver], looks: Sequence[Look], today: date) -> Look:
    """Return what is wrong with the waivers themselves: those that ended and cover nothing any more."""
    ended = [
        f"{one.check}, ended on {one.until}"
        for one in accepted
        if one.until < today and not any(one.covers(look, problem) for look in looks for problem in look.problems)
    ]
    fine = f"{len(accepted)} waivers" if accepted else "none"
    return Look("waivers", "inventory", "low", "remove them from security_waivers", tuple(ended), fine)


def failing(checks: Iterable[Check], fail_at: str) -> list[Check]:
    """Return the failed checks that are at least that severe."""
    least = SEVERITIES.index(fail_at)
    return [one for one in checks if one.state == "failed" and SEVERITIES.index(one.severity) >= least]


def ordered(checks: Iterable[Check]) -> list[Check]:
    """Sort by state, then the most severe first, then by host."""
    return sorted(
        checks, key=lambda one: (STATES.index(one.state), -SEVERITIES.index(one.severity), one.name, one.host)
    )
