# SPDX-License-Identifier: Apache-2.0
"""What was promised and what was seen: lines for the console, data for a file, and a page. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue
from ansible_collections.sluice.stack.plugins.module_utils.chaos.judge import BROKEN, KEPT, SKIPPED, STATES, UNKNOWN
from ansible_collections.sluice.stack.plugins.module_utils.events import page, plot

Row = Mapping[str, Any]  # judge.Seen.as_data

ANSWERED = plot.Kind("k-good", "answered")
MEANWHILE = plot.Kind("k-two", "answered while the fault was there")
FAILED = plot.Kind("k-bad", "failed")
CLASSES = {KEPT: "good", BROKEN: "bad", UNKNOWN: "warning", SKIPPED: ""}
ABOUT = (
    "A request failed when it had no whole answer in time, or another status than before the experiment. Requests are sent at a steady rate on "
    "connections of their own, and never again. The time of an experiment begins with its action."
)


def line(seen: Row) -> str:
    """One experiment, as it ends."""
    head = f"  {seen['state']:<8} {seen['name']:<21} {seen['host'] or '-':<10}"
    return f"{head} {seen['why'] if seen['state'] in (SKIPPED, UNKNOWN) else what(seen)}"


def what(seen: Row) -> str:
    """What was seen, in a few words."""
    back = f", the last {seen['recovered']:g} s after its end" if seen["recovered"] else ""
    return f"{seen['failed']} of {seen['since']} failed{back}; p99 {seen['before_p99']:.2f} s before, {seen['p99']:.2f} s from then on"


def lines(rows: Sequence[Row]) -> list[str]:
    """The table: what was promised, what was seen."""
    found = []
    for state in STATES:
        for seen in (row for row in rows if row["state"] == state):
            found.append(line(seen))
            if state in (KEPT, BROKEN):
                found.append(f"{'':<11}promised: {seen['promised']}; {seen['note']}")
            if state == BROKEN:
                found.append(f"{'':<11}→ {seen['why']}: {errors(seen) or 'see the report'}")
    return [*found, f"  {counted(rows)}"]


def errors(seen: Row) -> str:
    """How requests failed."""
    return ", ".join(f"{name} ({count})" for name, count in seen["errors"])


def counted(rows: Sequence[Row]) -> str:
    """Count the experiments by state."""
    count = Counter(row["state"] for row in rows)
    return f"{len(rows)} experiments: " + ", ".join(f"{count[state]} {state}" for state in reversed(STATES))


def verdict(rows: Sequence[Row]) -> str:
    """Return why the run fails, in one line; empty when it does not. A promise that could not be tried is not a kept one."""
    bad = [f"{row['name']} ({row['why']})" for row in rows if row["state"] == BROKEN]
    if bad:
        return f"{len(bad)} promise{'s were' if len(bad) > 1 else ' was'} broken: {'; '.join(bad)}"
    open_ = [f"{row['name']} ({row['why']})" for row in rows if row["state"] == UNKNOWN]
    if open_:
        return f"{len(open_)} experiment{'s' if len(open_) > 1 else ''} could not be judged: {'; '.join(open_)}"
    if all(row["state"] == SKIPPED for row in rows):
        return "no experiment was done: " + "; ".join(f"{row['name']} ({row['why']})" for row in rows)
    return ""


def data(rows: Sequence[Row], app: str, who: str, time: str) -> dict[str, Any]:
    """The content of the JSON file."""
    count = Counter(row["state"] for row in rows)
    return {
        "app": app,
        "who": who,
        "time": time,
        "ok": not verdict(rows),
        "counts": {state: count[state] for state in STATES},
        "experiments": list(rows),
    }


def html(found: Mapping[str, Any]) -> str:
    """The page: the table, then a picture of each experiment that was done."""
    rows = found["experiments"]
    title = f"Chaos experiments on {found['app']}"
    body = [
        f"<h1>{escape(title)}</h1>",
        page.definitions((("began", found["time"]), ("by", found["who"]), ("result", counted(rows)))),
        "<h2>Promised and seen</h2>",
        page.table(("", "experiment", "host", "promised", "seen", "why"), [_cells(row) for row in rows]),
        f"<p>{escape(ABOUT)}</p>",
        *(part for row in rows if row["seconds"] for part in _experiment(row)),
    ]
    return page.page(title, body, good=bool(found["ok"]))


def _cells(row: Row) -> tuple[str, ...]:
    head = (row["state"], row["name"], row["host"] or "", row["promised"])
    if row["state"] in (SKIPPED, UNKNOWN):
        return (*head, "", row["why"])
    return (*head, what(row), "; ".join(part for part in (row["why"], errors(row)) if part))


def _experiment(row: Row) -> tuple[str, ...]:
    one = catalogue.BY_NAME[row["name"]]
    groups = [
        (str(second), [0 if there else answered, answered if there else 0, failed])
        for second, (answered, failed, there) in enumerate(row["seconds"])
    ]
    about = f"{row['failed']} of {row['since']} requests failed; promised: {row['promised']}"
    state = f'<span class="{CLASSES[row["state"]]}">{escape(row["state"])}</span>'
    return (
        f"<h2>{escape(row['name'])} on {escape(row['host'])}: {state}</h2>",
        f"<p>{escape(one.what[0].upper() + one.what[1:])} ({escape(row['note'])}). Undo: {escape(one.undo)}.</p>",
        plot.columns("Requests by the second they were sent in", about, (ANSWERED, MEANWHILE, FAILED), groups),
    )
