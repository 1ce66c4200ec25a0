# SPDX-License-Identifier: Apache-2.0
"""A page for people that needs nothing else: no scripts, fonts or images of others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def page(title: str, body: Sequence[str], *, good: bool) -> str:
    """The whole page; ``body`` is HTML."""
    return _PAGE.format(title=escape(title), state="good" if good else "bad", body="\n".join(body))


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Names with their values."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows) + "</dl>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --good: light-dark(#176b3a, #5fd08c); --bad: light-dark(#a4161a, #ff8a8a);
  --warning: light-dark(#8a5a00, #f2c14e); --line: light-dark(#d9dde3, #333a44); --soft: light-dark(#57606a, #9aa4b0);
  --one: light-dark(#2f6db3, #6fa8dc); --two: light-dark(#d9822b, #f0a95a); --three: light-dark(#7b5ea7, #b79ae0); }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; border-left: .4rem solid var(--{state}); padding-left: .7rem; }}
h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; }}
dt {{ color: var(--soft); }} dd {{ margin: 0; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }}
th {{ font-weight: 500; white-space: nowrap; }}
.wide {{ overflow-x: auto; }} .wide td {{ min-width: 6.5rem; overflow-wrap: anywhere; }}
.seconds {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.bar {{ width: 35%; }} .bar i {{ display: block; height: .7rem; margin-top: .4rem; min-width: 2px; border-radius: 2px; background: var(--one); }}
tr.bad .bar i {{ background: var(--bad); }} tr.bad th, .bad {{ color: var(--bad); }} .good {{ color: var(--good); }} .warning {{ color: var(--warning); }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; padding: .7rem;
  border: 1px solid var(--line); border-radius: 4px; }}
figure {{ margin: 1.2rem 0; overflow-x: auto; }} figcaption {{ margin-bottom: .5rem; }}
figcaption span {{ margin-left: 1.2rem; white-space: nowrap; color: var(--soft); }}
figcaption i {{ display: inline-block; width: .8rem; height: .8rem; margin-right: .35rem; border-radius: 2px; vertical-align: -.05rem; }}
svg {{ width: 100%; min-width: 40rem; height: auto; font: 13px system-ui, sans-serif; }} svg text {{ fill: currentColor; }}
svg .grid {{ stroke: var(--line); }} svg .mark {{ stroke: var(--bad); stroke-dasharray: 6 4; }}
svg polyline.k-one {{ fill: none; stroke: var(--one); stroke-width: 2; }} svg polyline.k-two {{ fill: none; stroke: var(--two); stroke-width: 2; }}
.k-good, .k-one {{ fill: var(--one); background: var(--one); }} .k-two {{ fill: var(--two); background: var(--two); }}
.k-three {{ fill: var(--three); background: var(--three); }} .k-bad {{ fill: var(--bad); background: var(--bad); }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }}
.cards div {{ border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; }} .cards b {{ display: block; font-size: 1.25rem; font-weight: 600; }}
.cards span {{ color: var(--soft); }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
