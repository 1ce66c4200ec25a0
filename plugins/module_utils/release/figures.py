# SPDX-License-Identifier: Apache-2.0
"""How an app's releases go, from its ledger: how often, how fast, how many fail, how soon that is mended. Pure.

The four figures are those of DORA, https://dora.dev/guides/dora-metrics-four-keys/ ; docs/figures.md says what each counts here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import MARK, Entry, History

SCHEMA = 1
WEEK = 7 * 86400
# Fewer than so many deployments say nothing about the next ones.
ENOUGH = 5
# As many failures, for the time to restore; and as many days, for the frequency.
ENOUGH_FAILURES, ENOUGH_DAYS = 3, 7
Figures = dict[str, Any]


def figures(app: str, history: History, now: datetime, days: float) -> Figures:
    """Return the figures of the ``days`` before ``now`` as plain data, for JSON. Times are UTC in ISO 8601, durations seconds."""
    entries = [item for item in [*history.past, *history.entries] if item["event"] != MARK]
    begin = max([now - timedelta(days=days), *([_moment(entries[0]["time"])] if entries else [now])])
    deployments = [item for item in _deployments(entries) if begin <= _moment(item["time"]) <= now]
    stopped = [item for item in _stopped(entries) if begin <= _moment(item["time"]) <= now]
    covered = (now - begin).total_seconds()
    return {
        "schema": SCHEMA,
        "app": app,
        "from": _iso(begin),
        "to": _iso(now),
        "days": round(covered / 86400, 1),
        "asked_days": days,
        "figures": {
            "deployment_frequency": _frequency(deployments, covered),
            "lead_time": _lead_time(deployments),
            "change_failure_rate": _failure_rate(deployments),
            "time_to_restore": _restore(deployments),
        },
        "weeks": _weeks(deployments, stopped, begin, now),
        "deployments": deployments,
        "stopped": stopped,
    }


def _deployments(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Every deploy that changed what visitors get, oldest first; failed when it had to be put right."""
    found: list[dict[str, Any]] = []
    of: dict[str, int] = {}  # release → the number of its deployment
    broken: dict[str, Any] | None = None  # the failed one that visitors still have
    current = ""
    for item in entries:
        if item["event"] == "failed" and found and item["run_id"] == found[-1]["run"]:
            # It failed after it went live: workers, jobs, or another edge.
            broken = _fail(found[-1], f"failed in step {item.get('step', '')}")
        if item["event"] != "confirmed" or item["release"] == current:
            continue
        left, current = of.get(current, -1), item["release"]
        # A rollback may also name a later release: that says nothing against the one it leaves.
        if item["action"] == "rollback" and of.get(current, -1) < left:
            broken = broken or _fail(found[left], "rolled back")
        if broken:
            broken["restored_seconds"] = _seconds(broken["time"], item["time"])
            broken = None
        if item["action"] == "deploy":
            of[current] = len(found)
            found.append(_deployment(item))
    return found


def _deployment(item: Entry) -> dict[str, Any]:
    built = (item.get("built") or {}).get("created", "")
    lead = _seconds(built, item["time"]) if built else None
    return {
        "time": item["time"],
        "release": item["release"],
        "run": item["run_id"],
        "who": item["who"],
        # A clock that is behind is no lead time.
        "lead_seconds": lead if lead is not None and lead >= 0 else None,
        "failed": "",
        "restored_seconds": None,
    }


def _fail(deployment: dict[str, Any], why: str) -> dict[str, Any]:
    deployment["failed"] = why
    return deployment


def _stopped(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Every deploy that ended before visitors got anything of it, or after a part of them did for a while."""
    live = {item["run_id"] for item in entries if item["event"] == "confirmed"}
    return [
        {"time": item["time"], "release": item["release"], "run": item["run_id"], "step": item.get("step", "")}
        for item in entries
        if item["event"] == "failed" and item["action"] == "deploy" and item["run_id"] not in live
    ]


def _frequency(deployments: Sequence[Mapping[str, Any]], covered: float) -> dict[str, Any]:
    """Deployments in a week."""
    if covered < ENOUGH_DAYS * 86400:
        return _too_few(f"{covered / 86400:.1f} days of history, {ENOUGH_DAYS} needed", len(deployments))
    return {"value": round(len(deployments) / (covered / WEEK), 2), "of": len(deployments), "note": ""}


def _lead_time(deployments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of seconds from the build to live."""
    known = [one["lead_seconds"] for one in deployments if one["lead_seconds"] is not None]
    return _middle(known, ENOUGH, "deployment", "with an image's time")


def _failure_rate(deployments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The share of deployments that had to be put right, from 0 to 1."""
    count = len(deployments)
    if count < ENOUGH:
        return _too_few(f"{_count(count, 'deployment')}, {ENOUGH} needed", count)
    return {"value": round(sum(1 for one in deployments if one["failed"]) / count, 3), "of": count, "note": ""}


def _restore(deployments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of seconds from a failed deployment's going live to the release that put it right."""
    known = [one["restored_seconds"] for one in deployments if one["restored_seconds"] is not None]
    return _middle(known, ENOUGH_FAILURES, "failure", "put right")


def _middle(known: Sequence[float], enough: int, what: str, which: str) -> dict[str, Any]:
    if len(known) < enough:
        return _too_few(f"{_count(len(known), what)} {which}, {enough} needed", len(known))
    return {
        "value": median(known),
        "p90": round(quantiles(known, n=10, method="inclusive")[-1], 1),
        "of": len(known),
        "note": "",
    }


def _too_few(note: str, of: int) -> dict[str, Any]:
    return {"value": None, "of": of, "note": f"too few: {note}"}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _weeks(
    deployments: Iterable[Mapping[str, Any]],
    stopped: Iterable[Mapping[str, Any]],
    begin: datetime,
    now: datetime,
) -> list[dict[str, Any]]:
    """What happened in each week, by its Monday."""
    first, last = _monday(begin), _monday(now)
    weeks = [first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1)]
    found = {week: {"week": f"{week:%Y-%m-%d}", "good": 0, "failed": 0, "stopped": 0} for week in weeks}
    for one in deployments:
        found[_monday(_moment(one["time"]))]["failed" if one["failed"] else "good"] += 1  # type: ignore[operator]
    for one in stopped:
        found[_monday(_moment(one["time"]))]["stopped"] += 1  # type: ignore[operator]
    return list(found.values())


def _monday(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=moment.weekday())


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _seconds(begin: str, end: str) -> float:
    return (_moment(end) - _moment(begin)).total_seconds()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


NAMES = {
    "deployment_frequency": "deployment frequency",
    "lead_time": "lead time for changes",
    "change_failure_rate": "change failure rate",
    "time_to_restore": "time to restore",
}


def lines(data: Mapping[str, Any]) -> list[str]:
    """Format the figures, a line each."""
    head = f"{data['app']}: {data['days']:g} days, {data['from'][:10]} to {data['to'][:10]}"
    short = (
        f" (the history has no more; {data['asked_days']:g} were asked for)"
        if data["days"] < data["asked_days"]
        else ""
    )
    return [
        head + short,
        *(f"  {NAMES[name]:<22} {text(name, figure)}" for name, figure in data["figures"].items()),
        f"  {'stopped before live':<22} {_count(len(data['stopped']), 'deploy')}",
    ]


def text(name: str, figure: Mapping[str, Any]) -> str:
    """One figure with its unit and what it is made of."""
    value = figure["value"]
    if value is None:
        return str(figure["note"])
    if name == "deployment_frequency":
        return f"{value:g} a week ({_count(figure['of'], 'deployment')})"
    if name == "change_failure_rate":
        return f"{100 * value:.3g} % of {figure['of']} deployments"
    return f"{duration(value)}, 9 of 10 within {duration(figure['p90'])} ({figure['of']} of them)"


def duration(seconds: float) -> str:
    """A duration as people say it, in two units at most."""
    units = (("d", 86400), ("h", 3600), ("min", 60))
    for index, (unit, size) in enumerate(units):
        if seconds >= size:
            whole, rest = divmod(round(seconds), size)
            smaller = units[index + 1] if index + 1 < len(units) else ("s", 1)
            return f"{whole} {unit}" + (f" {rest // smaller[1]} {smaller[0]}" if rest // smaller[1] else "")
    return f"{seconds:.0f} s"
