# SPDX-License-Identifier: Apache-2.0
"""The figures of an app's releases as a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import page, plot
from ansible_collections.sluice.stack.plugins.module_utils.release import figures

GOOD, FAILED, STOPPED = (
    plot.Kind("k-good", "deployed"),
    plot.Kind("k-bad", "failed"),
    plot.Kind("k-two", "stopped before it was live"),
)
ABOUT = (
    "Deployments are deploys that went live. One failed when it was rolled back, or ended with an error after it was live. Lead time is from when its "
    "newest image was built to live; time to restore from a failed deployment's going live to the next release."
)
# So many of the newest deployments are listed.
LISTED = 50


def html(data: Mapping[str, Any]) -> str:
    """The page."""
    cards = "".join(
        f"<div><span>{escape(figures.NAMES[name].capitalize())}</span><b>{escape(_head(name, figure))}</b>"
        f"<span>{escape(_tail(figure))}</span></div>"
        for name, figure in data["figures"].items()
    )
    title = f"Releases of {data['app']}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(' to '.join((data['from'][:10], data['to'][:10])))}, {data['days']:g} days.</p>",
        f'<section class="cards">{cards}</section>',
        _weeks(data),
        _times(data, "Lead time of each deployment", "lead_seconds"),
        _times(data, "Time to restore after each failure", "restored_seconds"),
        "<h2>Deployments</h2>",
        page.table(("live", "release", "by", "lead time", "failed", "restored after"), _rows(data)),
        f"<p>{escape(ABOUT)}</p>",
    ]
    return page.page(title, [part for part in body if part], good=True)


def _head(name: str, figure: Mapping[str, Any]) -> str:
    return (
        "too few"
        if figure["value"] is None
        else figures.text(name, figure).partition(" (")[0].partition(",")[0].partition(" of ")[0]
    )


def _tail(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return str(figure["note"]).removeprefix("too few: ")
    if "p90" in figure:
        return f"9 of 10 within {figures.duration(figure['p90'])} ({figure['of']})"
    return f"{figure['of']} deployments"


def _weeks(data: Mapping[str, Any]) -> str:
    rows = [(week["week"][5:], [week["good"], week["failed"], week["stopped"]]) for week in data["weeks"]]
    good, failed, stopped = (sum(values[index] for _unused, values in rows) for index in range(3))
    about = f"{good} deployed, {failed} failed and {stopped} stopped in {len(rows)} weeks"
    return plot.columns("Deploys a week, by its Monday", about, (GOOD, FAILED, STOPPED), rows)


def _times(data: Mapping[str, Any], title: str, key: str) -> str:
    begin, end = (datetime.fromisoformat(data[name]).timestamp() for name in ("from", "to"))
    known = [one for one in data["deployments"] if one[key] is not None]
    if not known:
        return ""
    found = [
        plot.Dot(
            (datetime.fromisoformat(one["time"]).timestamp() - begin) / max(end - begin, 1.0),
            max(one[key], 1.0),
            FAILED if one["failed"] else GOOD,
            f"{one['release']}: {figures.duration(one[key])}",
        )
        for one in known
    ]
    shown = [kind for kind in (GOOD, FAILED) if any(dot.kind == kind for dot in found)]
    about = f"{len(found)} of {len(data['deployments'])} deployments, from {_span(known, key)}"
    return plot.dots(title, about, shown, found, (data["from"][:10], data["to"][:10]), figures.duration)


def _span(known: list[Mapping[str, Any]], key: str) -> str:
    values = [one[key] for one in known]
    return f"{figures.duration(min(values))} to {figures.duration(max(values))}"


def _rows(data: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            one["time"].replace("T", " ").replace("Z", ""),
            one["release"],
            one["who"],
            *("" if one["lead_seconds"] is None else figures.duration(one["lead_seconds"]),),
            one["failed"],
            "" if one["restored_seconds"] is None else figures.duration(one["restored_seconds"]),
        )
        for one in reversed(data["deployments"][-LISTED:])
    ]
