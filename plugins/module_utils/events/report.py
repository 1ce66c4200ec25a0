# SPDX-License-Identifier: Apache-2.0
"""A run's record for people: Markdown for a CI's summary, and an HTML page that needs nothing else. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.events import page, plot

Data = Mapping[str, Any]
Row = tuple[str, ...]

# Characters that mean something in a Markdown table or paragraph.
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$@])")


def title(data: Data) -> str:
    """One line: what was done, to what, and how it ended."""
    return f"{str(data['action']).capitalize()} of {data['app']}: {data['outcome']}"


def facts(data: Data) -> list[tuple[str, str]]:
    """What a reader asks first, in order; without what is unknown."""
    found = [
        ("Release", data["release"]),
        ("Before", data["previous"]),
        ("By", data["who"]),
        ("Why", data["reason"]),
        ("Revision", data["revision"]),
        ("Started", data["started"]),
        ("Duration", f"{data['seconds']:.1f} s"),
        ("Hosts", ", ".join(data["hosts"])),
        ("Run", data["run"]),
    ]
    return [(name, str(value)) for name, value in found if value]


IMAGES = ("service", "image", "before", "commit", "commit before")
CANARY = ("share", "verdict", "requests", "errors", "p99", "requests before", "errors before", "p99 before")
# Paths in a manifest below a service, and what a reader calls them.
NAMED = {"env": "Environment", "secrets": "Secrets"}


def changed(data: Data) -> list[tuple[str, str]]:
    """What the release changes, by kind, then the migrations that ran. Names only: a report has no values."""
    found: dict[str, list[str]] = {}
    for path in data["changes"]:
        match str(path).split("."):
            case ["services", service, kind, *rest] if kind in NAMED and rest:
                found.setdefault(NAMED[kind], []).append(f"{service}: {'.'.join(rest)}")
            case ["services", service, "image"]:
                found.setdefault("Images", []).append(service)
            case _unused:
                found.setdefault("Settings", []).append(str(path))
    order = ("Images", *NAMED.values(), "Settings")
    return [
        *((kind, ", ".join(found[kind])) for kind in order if kind in found),
        *([("Migrations", ", ".join(data["migrations"]))] if data["migrations"] else []),
    ]


def images(data: Data) -> tuple[Row, list[Row]]:
    """Each service's image by digest and its commit, now and before, below a head; without columns of which nothing is known."""
    rows: list[Row] = []
    for service, image in sorted(data["images"].items()):
        before, commit = data["previous_images"].get(service, ""), data["commits"].get(service, {})
        shown = "the same" if before == image else before.rpartition("@")[2][:19]
        rows.append((service, image, shown, commit.get("after", "")[:10], commit.get("before", "")[:10]))
    known = [index for index, name in enumerate(IMAGES) if any(row[index] for row in rows)]
    return tuple(IMAGES[index] for index in known), [tuple(row[index] for index in known) for row in rows]


def _canary(check: Data) -> tuple[str, ...]:
    share = f"{check['percent']} %" if check["percent"] else ""
    arms = (check["new"], check["old"])
    return (
        share,
        check["decision"],
        *(text for arm in arms for text in (str(arm["requests"]), str(arm["errors"]), _milliseconds(arm["p99"]))),
    )


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.0f} ms"


def markdown(data: Data) -> str:
    """The report as GitHub-flavoured Markdown."""
    parts = [f"### {_plain(title(data))}"]
    if data["errors"]:
        parts.append(_code(data["errors"]))
    parts += ["\n".join(f"- {_plain(line)}" for line in data[kind]) for kind in ("result", "warnings") if data[kind]]
    parts.append(_table(("", ""), facts(data)))
    if data["steps"]:
        parts.append(_table(("step", "seconds", "hosts", ""), [_cells(step) for step in data["steps"]]))
    if changed(data):
        parts.append(_table(("changed", ""), changed(data)))
    if data["images"]:
        parts.append(_table(*images(data)))
    if data["canary"]:
        parts.append(_table(CANARY, map(_canary, data["canary"])))
    if data["plan"]:
        parts.append(f"<details><summary>Plan</summary>\n\n{_code(data['plan'])}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _cells(step: Data) -> tuple[str, ...]:
    failed = [f"failed on {', '.join(step['failed'])}"] if step["failed"] else []
    return (
        str(step["step"]).replace("_", " "),
        f"{step['seconds']:.1f}",
        ", ".join(step["hosts"]),
        ", ".join([*step["summary"], *failed]),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: versions, host names and messages are not ours to format."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def _code(lines: Sequence[str]) -> str:
    """A code block with a fence that nothing in it can end."""
    text = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def html(data: Data) -> str:
    """The report as one page without scripts, fonts or images of others."""
    body = [f"<h1>{escape(title(data))}</h1>"]
    body += [f'<pre class="bad">{escape(error)}</pre>' for error in data["errors"]]
    body += [f'<p class="good">{escape(line)}</p>' for line in data["result"]]
    body += [f'<p class="warning">Warning: {escape(line)}</p>' for line in data["warnings"]]
    body.append(page.definitions(facts(data)))
    if data["steps"]:
        body.append(f"<h2>Steps</h2>{_bars(data['steps'])}")
    if changed(data):
        body.append(f"<h2>Changes</h2>{page.definitions(changed(data))}")
    if data["images"]:
        body.append(f"<h2>Images</h2>{page.table(*images(data))}")
    if data["health"]:
        body.append(f"<h2>Start</h2>{_health(data['health'])}")
    if data["canary"]:
        body.append(f"<h2>Canary</h2>{_compared(data['canary'])}{page.table(CANARY, map(_canary, data['canary']))}")
    if data["plan"]:
        body.append(f"<h2>Plan</h2><pre>{escape(chr(10).join(data['plan']))}</pre>")
    return page.page(title(data), body, good=not data["errors"])


def _bars(steps: Sequence[Data]) -> str:
    """A row for each step; the bars show when it ran within the time of all."""
    total = sum(step["seconds"] for step in steps) or 1.0
    rows, before = [], 0.0
    for step in steps:
        name, seconds, hosts, more = _cells(step)
        left, width = 100 * before / total, 100 * step["seconds"] / total
        before += step["seconds"]
        rows.append(
            f'<tr{" class=bad" if step["failed"] else ""}><th>{escape(name)}</th><td class="seconds">{seconds} s</td>'
            f'<td class="bar"><i style="margin-left:{left:.2f}%;width:{width:.2f}%"></i></td>'
            f"<td>{escape(hosts)}</td><td>{escape(more)}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


PARTS = {
    "pull": plot.Kind("k-three", "pull"),
    "discard": plot.Kind("k-bad", "clear the slot"),
    "start": plot.Kind("k-two", "start"),
    "healthy": plot.Kind("k-one", "until healthy"),
}
ARMS = (plot.Kind("k-one", "new release"), plot.Kind("k-two", "old release"))


def _health(health: Mapping[str, Mapping[str, float]]) -> str:
    """How long each host took until the release was healthy."""
    kinds = [name for name in PARTS if any(name in parts for parts in health.values())]
    rows = [(host, [parts.get(name, 0.0) for name in kinds]) for host, parts in sorted(health.items())]
    about = "; ".join(f"{host}: {sum(values):.1f} s" for host, values in rows)
    return plot.bars(
        "Until it was healthy", about, [PARTS[name] for name in kinds], rows, lambda value: f"{value:.1f} s"
    )


def _compared(checks: Sequence[Data]) -> str:
    """Errors and latency of both releases at each check."""
    labels = [f"{check['percent']} %" if check["percent"] else str(index) for index, check in enumerate(checks, 1)]

    def groups(value: Callable[[Data], float]) -> list[tuple[str, list[float]]]:
        return [
            (label, [value(check[arm]) for arm in ("new", "old")]) for label, check in zip(labels, checks, strict=True)
        ]

    errors = groups(lambda arm: 100 * arm["errors"] / arm["requests"] if arm["requests"] else 0.0)
    latency = groups(lambda arm: 1000 * (arm["p99"] or 0.0))
    plots = (("Errors", errors, _percent), ("99 of 100 requests within", latency, _ms))
    return "".join(plot.columns(name, _told(rows, form), ARMS, rows, form, stacked=False) for name, rows, form in plots)


def _told(rows: Sequence[tuple[str, Sequence[float]]], form: plot.Form) -> str:
    return "; ".join(f"{label}: new {form(new)}, old {form(old)}" for label, (new, old) in rows)


def _percent(value: float) -> str:
    return f"{value:.3g} %"


def _ms(value: float) -> str:
    return f"{value:.0f} ms"
