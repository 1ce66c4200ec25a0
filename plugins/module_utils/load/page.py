# SPDX-License-Identifier: Apache-2.0
"""A load test as a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import page, plot
from ansible_collections.sluice.stack.plugins.module_utils.load import report
from ansible_collections.sluice.stack.plugins.module_utils.load.limits import Limits, milliseconds

ANSWERED, FAILED, UNSENT = plot.Kind("k-one", "answered"), plot.Kind("k-bad", "failed"), plot.Kind("k-two", "not sent")
HALF, TAIL = plot.Kind("k-one", "p50"), plot.Kind("k-two", "p99")
ABOUT = (
    "Open-loop: requests began at their rate however slow the answers were. A request failed when its status was not as expected, or it had no answer "
    "in time; one that was not sent, because every client was still waiting, counts as failed. Latency is that of requests as expected, from the first "
    "byte sent to the last byte received."
)


def html(made: Mapping[str, Any], last: Mapping[str, Any] | None) -> str:
    """The page."""
    title = f"{'Capacity' if made['mode'] == 'capacity' else 'Load test'} of {made['app']}"
    facts = [
        ("verdict", report.headline(made)),
        ("target", made["target"]),
        ("sent from", made["from"]),
        ("live release", made.get("live") or "unknown"),
        ("time", made["time"]),
        ("limits", ", ".join(Limits.of(made["limits"]).names())),
        *([("stopped early", f"the stage could not hold {made['stopped']} any more")] if made["stopped"] else []),
        ("load host", f"busy to {100 * made['busy']:.0f} %"),
    ]
    body = [
        f"<h1>{escape(title)}</h1>",
        page.definitions(facts),
        _rates(made) if made["mode"] == "capacity" else "",
        _answers(made),
        _latency(made),
        "<h2>Stages</h2>",
        page.table(
            ("rate", "seconds", "answered", "failed", "not sent", "p50", "p99", "slowest", "verdict"),
            map(_stage, made["stages"]),
        ),
    ]
    rows = report.comparison(made, last)
    if rows and last:
        against = f"Against {last['time']}" + (f", release {last['live']}" if last.get("live") else "")
        body += [f"<h2>{escape(against)}</h2>", page.table(("what", "last", "now", "change"), rows)]
    body.append(f"<p>{escape(ABOUT)}</p>")
    return page.page(title, [part for part in body if part], good=made["ok"])


def _stage(stage: Mapping[str, Any]) -> tuple[str, ...]:
    times = ("" if stage[name] is None else milliseconds(stage[name]) for name in ("p50", "p99", "max"))
    counts = (f"{stage[name]:,}" for name in ("answered", "failed", "unsent"))
    verdict = f"broke {', '.join(stage['broken'])}" if stage["broken"] else "held"
    return (f"{stage['rate']:,}/s", str(stage["seconds"]), *counts, *times, verdict)


def _answers(made: Mapping[str, Any]) -> str:
    groups = [(f"{one['second']} s", [one["answered"], one["failed"], one["unsent"]]) for one in made["series"]]
    kinds = (ANSWERED, FAILED, UNSENT)
    totals = [sum(values[place] for _unused, values in groups) for place in range(3)]
    about = ", ".join(f"{total:,} {kind.label}" for total, kind in zip(totals, kinds, strict=True))
    return plot.columns("Requests in each second", about, kinds, groups) if groups else ""


def _latency(made: Mapping[str, Any]) -> str:
    lines = [
        plot.Line(kind, [(one["second"], one[kind.label]) for one in made["series"] if one[kind.label] is not None])
        for kind in (HALF, TAIL)
    ]
    return plot.lines(
        "Latency in each second", "p50 and p99", lines, _marks(made), milliseconds, lambda x: f"{x:.0f} s"
    )


def _rates(made: Mapping[str, Any]) -> str:
    """Latency by rate: where the line bends is the knee."""
    known = sorted((stage for stage in made["stages"] if stage["answered"]), key=lambda stage: stage["rate"])
    lines = [plot.Line(kind, [(stage["rate"], stage[kind.label]) for stage in known]) for kind in (HALF, TAIL)]
    about = "; ".join(f"{stage['rate']}/s {'broke' if stage['broken'] else 'held'}" for stage in known)
    return plot.lines("Latency at each rate", about, lines, _marks(made), milliseconds, lambda x: f"{x:,.0f}/s")


def _marks(made: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(f"limit {name}", seconds) for name, seconds in Limits.of(made["limits"]).latency.items()]
