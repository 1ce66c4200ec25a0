# SPDX-License-Identifier: Apache-2.0
"""What a load test found: for people, for machines, and against the last one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.load import capacity
from ansible_collections.sluice.stack.plugins.module_utils.load.limits import Limits, milliseconds

Data = dict[str, Any]
# A load host that was busier than this may have been what was slow.
BUSY = 0.7
# A change of less is not worth a word: two runs of the same release differ as much.
NOTABLE = 0.25


def data(run: Mapping[str, Any], limits: Mapping[str, Any], results: Sequence[Mapping[str, Any]], stopped: str) -> Data:
    """Return the whole result. ``run`` says what was tested, and ``results`` are load_run's."""
    stages = [stage for result in results for stage in result["stages"]]
    at, series = 0, []
    for result in results:
        series += [{**one, "second": at + one["second"]} for one in result["series"]]
        at = series[-1]["second"] + 1 if series else at
    made: Data = {
        **run,
        "limits": dict(limits),
        "stages": stages,
        "series": series,
        "stopped": stopped,
        "busy": max((result["busy"] for result in results), default=0.0),
    }
    if run["mode"] == "capacity":
        made["capacity"] = capacity.held(stages)
        made["broke_at"] = capacity.broke(stages)
    made["checks"] = _checks(made)
    made["ok"] = all(one["ok"] for one in made["checks"])
    return made


def _checks(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the verdict as the gate load_test reads it."""
    if made["mode"] == "capacity":
        least = max(made["least"], 1)
        return [{"name": f"capacity at least {least:,}/s", "ok": made["capacity"] >= least}]
    broken = {name for stage in made["stages"] for name in stage["broken"]}
    names = Limits.of(made["limits"]).names()
    return [{"name": name, "ok": name not in broken} for name in [*names, *sorted(broken - set(names))]]


def stage_line(stage: Mapping[str, Any]) -> str:
    """Return one stage for people."""
    total = stage["answered"] + stage["failed"] + stage["unsent"]
    parts = [f"p50 {milliseconds(stage['p50'])}, p99 {milliseconds(stage['p99'])}"] if stage["answered"] else []
    parts += [f"{total:,} requests" + (f", {stage['failed']:,} failed" if stage["failed"] else ", 0 failed")]
    parts += [f"{stage['unsent']:,} not sent"] if stage["unsent"] else []
    verdict = f"broke {', '.join(stage['broken'])}" if stage["broken"] else "held"
    return f"  {stage['rate']:>6,}/s for {stage['seconds']} s   {', '.join(parts)}   {verdict}"


def summary(made: Mapping[str, Any]) -> list[str]:
    """Return the verdict for people, after the stages."""
    lines = []
    if made["stopped"]:
        lines.append(f"  stopped early: the stage could not hold {made['stopped']} any more")
    if any(stage["unsent"] for stage in made["stages"]):
        lines.append(
            "  not sent: every client was still waiting; answers are too slow, or app_load_test.clients too few"
        )
    if made["busy"] > BUSY:
        lines.append(
            f"  the load host was busy to {100 * made['busy']:.0f} %: these may be its limits; use a larger one"
        )
    lines.append(f"  {headline(made)}")
    return lines


def headline(made: Mapping[str, Any]) -> str:
    """Return the verdict in one line."""
    limits = ", ".join(Limits.of(made["limits"]).names())
    if made["mode"] != "capacity":
        broken = [one["name"] for one in made["checks"] if not one["ok"]]
        return f"broke {', '.join(broken)}" if broken else f"held {limits}"
    if not made["capacity"]:
        return f"no rate held {limits}, not even {min((stage['rate'] for stage in made['stages']), default=0)}/s"
    beyond = f"; {made['broke_at']:,}/s did not" if made["broke_at"] else ", the highest that was to be tried"
    least = f"; at least {made['least']:,}/s was asked for" if made["capacity"] < made["least"] else ""
    return f"capacity {made['capacity']:,}/s holds {limits}{beyond}{least}"


def comparison(made: Mapping[str, Any], last: Mapping[str, Any] | None) -> list[tuple[str, str, str, str]]:
    """Return rows of what, last, now and change, for what both have."""
    if not last:
        return []
    rows = []
    if made["mode"] == "capacity":
        rows.append(_row("capacity", last["capacity"], made["capacity"], lambda value: f"{value:,}/s"))
    before = {(stage["rate"], stage["seconds"]): stage for stage in last["stages"]}
    for stage in made["stages"]:
        other = before.get((stage["rate"], stage["seconds"]))
        if other and stage["answered"] and other["answered"]:
            rows += [
                _row(f"{name} at {stage['rate']}/s", other[name], stage[name], milliseconds) for name in ("p50", "p99")
            ]
            rows.append(
                _row(f"failed at {stage['rate']}/s", _failed(other), _failed(stage), lambda value: f"{value:.3g} %")
            )
    return rows


def compared(made: Mapping[str, Any], last: Mapping[str, Any] | None) -> list[str]:
    """Return the comparison for people: only what changed notably."""
    if not last:
        return []
    rows = [row for row in comparison(made, last) if row[3]]
    head = f"  against {last['time']}" + (f", {last['live']}" if last.get("live") else "")
    return [
        f"{head}: {'; '.join(f'{what} {before} → {now} ({change})' for what, before, now, change in rows) or 'no notable change'}"
    ]


def _failed(stage: Mapping[str, Any]) -> float:
    bad = stage["failed"] + stage["unsent"]
    return float(100 * bad / max(stage["answered"] + bad, 1))


def _row(what: str, before: float, now: float, form: Any) -> tuple[str, str, str, str]:
    change = (now - before) / before if before else (1.0 if now else 0.0)
    return what, form(before), form(now), f"{100 * change:+.0f} %" if abs(change) >= NOTABLE else ""
