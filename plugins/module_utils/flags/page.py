# SPDX-License-Identifier: Apache-2.0
"""A rollout, or the result so far of comparing a flag's sides, as a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import page, plot
from ansible_collections.sluice.stack.plugins.module_utils.flags import sides

ABOUT = (
    "Both sides are compared within the same seconds. The intervals hold at every look at once with 95 %: the result may be looked at as often as one "
    "likes, and acted on at any of them. They are about requests, not people. A step is judged like a canary."
)


def html(made: Mapping[str, Any]) -> str:
    """The page of what ``flag_report`` gathered."""
    title = f"{'Rollout' if made['action'] == 'rollout' else 'Result'} of {made['flag']}"
    last = made["looks"][-1] if made["looks"] else {"pairs": []}
    body = [
        f"<h1>{escape(title)}</h1>",
        page.definitions(
            (
                ("app", made["app"]),
                ("result", made["headline"]),
                ("began", made["time"]),
                ("by", made["who"]),
            )
        ),
        *(part for pair in last["pairs"] for part in _pair(pair)),
        "<h2>Looks</h2>",
        page.table(
            ("share", "look", "sides", "requests", "failed", "median", "p99", "decision", "why"),
            [_row(look, pair) for look in made["looks"] for pair in look["pairs"]],
        ),
        f"<p>{escape(ABOUT)}</p>",
    ]
    return page.page(title, body, good=made["ok"])


def _row(look: Mapping[str, Any], pair: Mapping[str, Any]) -> tuple[str, ...]:
    both = [pair["samples"].get(arm) for arm in ("new", "old")]

    def each(read: Any) -> str:
        return " / ".join("-" if one is None else read(one) for one in both)

    return (
        f"{look['percent']} %" if look["percent"] is not None else "",
        str(look["check"]),
        f"{pair['new']} / {pair['old']}",
        each(lambda one: f"{one['requests']:,}"),
        each(lambda one: f"{one['errors']:,}"),
        each(lambda one: _seconds(one["median"])),
        each(lambda one: _seconds(one["p99"])),
        pair["decision"],
        "; ".join(pair["reasons"]),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} s"


def _pair(pair: Mapping[str, Any]) -> list[str]:
    kinds = (plot.Kind("k-two", pair["new"]), plot.Kind("k-one", pair["old"]))
    parts = pair["series"]
    groups = [(f"{one['second']:.0f} s", [float(one["new"][0]), float(one["old"][0])]) for one in parts]
    about = "; ".join(sides.say(one) for one in pair["measures"])

    def shares(title: str, place: int) -> str:
        lines = [
            plot.Line(kind, [(one["second"], 100 * one[arm][place] / one[arm][0]) for one in parts if one[arm][0]])
            for kind, arm in zip(kinds, ("new", "old"), strict=True)
        ]
        return plot.lines(title, about, lines, (), lambda value: f"{value:.3g} %", lambda second: f"{second:.0f} s")

    return [
        f"<h2>{escape(pair['new'])} against {escape(pair['old'])}</h2>",
        page.table(("measure", "result"), [(one["name"], sides.say(one)) for one in pair["measures"]]),
        shares("Failed requests", 1),
        shares("Requests that reach the goal", 2) if any(one["name"] == sides.GOAL for one in pair["measures"]) else "",
        plot.columns("Requests", "of both sides", kinds, groups) if groups else "",
    ]
