# SPDX-License-Identifier: Apache-2.0
"""A run's record for people: Markdown for a CI's summary, and an HTML page that needs nothing else. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Data = Mapping[str, Any]

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
        ("Revision", data["revision"]),
        ("Started", data["started"]),
        ("Duration", f"{data['seconds']:.1f} s"),
        ("Hosts", ", ".join(data["hosts"])),
        ("Run", data["run"]),
    ]
    return [(name, str(value)) for name, value in found if value]


def markdown(data: Data) -> str:
    """The report as GitHub-flavoured Markdown."""
    parts = [f"### {_plain(title(data))}"]
    if data["errors"]:
        parts.append(_code(data["errors"]))
    parts += ["\n".join(f"- {_plain(line)}" for line in data[kind]) for kind in ("result", "warnings") if data[kind]]
    parts.append(_table(("", ""), facts(data)))
    if data["steps"]:
        parts.append(_table(("step", "seconds", "hosts", ""), [_cells(step) for step in data["steps"]]))
    if data["images"]:
        parts.append(_table(("service", "image"), sorted(data["images"].items())))
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
    body.append(_definitions(facts(data)))
    if data["steps"]:
        body.append(f"<h2>Steps</h2>{_bars(data['steps'])}")
    if data["images"]:
        body.append(f"<h2>Images</h2>{_definitions(sorted(data['images'].items()))}")
    if data["plan"]:
        body.append(f"<h2>Plan</h2><pre>{escape(chr(10).join(data['plan']))}</pre>")
    state = "bad" if data["errors"] else "good"
    return _PAGE.format(title=escape(title(data)), state=state, body="\n".join(body))


def _definitions(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows) + "</dl>"


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


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --good: light-dark(#176b3a, #5fd08c); --bad: light-dark(#a4161a, #ff8a8a);
  --warning: light-dark(#8a5a00, #f2c14e); --line: light-dark(#d9dde3, #333a44); --bar: light-dark(#3b6ea5, #6fa8dc); }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; border-left: .4rem solid var(--{state}); padding-left: .7rem; }}
h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; }}
dt {{ opacity: .7; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }}
th {{ font-weight: 500; white-space: nowrap; }}
.seconds {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.bar {{ width: 35%; }} .bar i {{ display: block; height: .7rem; margin-top: .4rem; min-width: 2px; border-radius: 2px; background: var(--bar); }}
tr.bad .bar i {{ background: var(--bad); }} tr.bad th, .bad {{ color: var(--bad); }} .good {{ color: var(--good); }} .warning {{ color: var(--warning); }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; padding: .7rem;
  border: 1px solid var(--line); border-radius: 4px; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
