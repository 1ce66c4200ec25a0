# SPDX-License-Identifier: Apache-2.0
"""Small plots as SVG in an HTML page, without scripts: bars, columns, dots over time, and lines. Pure.

Each has a title and a description for those who do not see it. Colours are the page's classes (page.py), in light and in dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, BOTTOM = 960, 120, 90, 22
ROW, BAR, HEIGHT, TOP = 26, 16, 180, 12
TICKS = 4
# What an axis of durations is marked with, in seconds.
DURATIONS = (1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400, 365 * 86400)
Form = Callable[[float], str]


@dataclass(frozen=True)
class Kind:
    """What a colour stands for; ``name`` is the page's class."""

    name: str
    label: str


@dataclass(frozen=True)
class Dot:
    """A value at a place from 0 to 1 along the axis; ``text`` is shown when it is pointed at."""

    place: float
    value: float
    kind: Kind
    text: str


@dataclass(frozen=True)
class Line:
    """Values along an axis, as pairs of place and value."""

    kind: Kind
    points: Sequence[tuple[float, float]]


def number(value: float) -> str:
    """A value without needless digits."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def bars(
    title: str, about: str, kinds: Sequence[Kind], rows: Sequence[tuple[str, Sequence[float]]], form: Form = number
) -> str:
    """A row for each label: a value for each kind, end to end, and their sum."""
    most = max((sum(values) for _unused, values in rows), default=0) or 1.0
    wide = WIDTH - LEFT - RIGHT
    drawn = []
    for index, (label, values) in enumerate(rows):
        y, x = index * ROW, float(LEFT)
        drawn.append(_text(LEFT - 8, y + BAR - 3, label, "end"))
        for kind, value in zip(kinds, values, strict=True):
            width = wide * value / most
            drawn.append(_box(x, y, width, BAR, kind, f"{label}: {kind.label} {form(value)}"))
            x += width
        drawn.append(_text(x + 6, y + BAR - 3, form(sum(values)), "start"))
    return _figure(title, about, kinds, ROW * len(rows), drawn)


def columns(
    title: str,
    about: str,
    kinds: Sequence[Kind],
    groups: Sequence[tuple[str, Sequence[float]]],
    form: Form = number,
    *,
    stacked: bool = True,
) -> str:
    """A column for each label and, unless they are ``stacked``, for each kind beside each other."""
    add = sum if stacked else max
    step = _step(max((add(values) for _unused, values in groups), default=0) or 1.0)
    most = step * math.ceil(max((add(values) for _unused, values in groups), default=0) / step) or step
    pitch = (WIDTH - LEFT - 20) / max(len(groups), 1)
    wide = min(0.7 * pitch, 60.0)
    every = math.ceil(70 / pitch)  # labels that have room
    drawn = list(_axis(most, step, form))
    for index, (label, values) in enumerate(groups):
        left, y = LEFT + index * pitch + (pitch - wide) / 2, float(TOP + HEIGHT)
        one = wide if stacked else wide / len(kinds)
        for place, (kind, value) in enumerate(zip(kinds, values, strict=True)):
            tall = HEIGHT * value / most
            x = left if stacked else left + place * one
            y = y - tall if stacked else TOP + HEIGHT - tall
            if value:
                drawn.append(_box(x, y, max(one - 1, 1), tall, kind, f"{label}: {kind.label} {form(value)}"))
        if index % every == 0:
            drawn.append(_text(left + wide / 2, TOP + HEIGHT + 16, label, "middle"))
    return _figure(title, about, kinds, TOP + HEIGHT + BOTTOM, drawn)


def dots(
    title: str, about: str, kinds: Sequence[Kind], found: Sequence[Dot], ends: tuple[str, str], form: Form = number
) -> str:
    """Durations over time between two ``ends``, on a logarithmic scale: minutes and weeks are in one picture."""
    values = [dot.value for dot in found] or [1.0]
    low = max([mark for mark in DURATIONS[:-1] if mark <= min(values)], default=DURATIONS[0])
    high = min([mark for mark in DURATIONS if mark >= max(values) and mark > low], default=DURATIONS[-1])

    def height(value: float) -> float:
        share = math.log(min(max(value, low), high) / low) / math.log(high / low)
        return TOP + HEIGHT - HEIGHT * share

    drawn = []
    for mark in (mark for mark in DURATIONS if low <= mark <= high):
        drawn += [_line(height(mark)), _text(LEFT - 8, height(mark) + 4, form(mark), "end")]
    for dot in found:
        x, y = LEFT + (WIDTH - LEFT - 20) * dot.place, height(dot.value)
        drawn.append(
            f'<circle class="{dot.kind.name}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(dot.text)}</title></circle>'
        )
    drawn += [_text(LEFT, TOP + HEIGHT + 16, ends[0], "start"), _text(WIDTH - 20, TOP + HEIGHT + 16, ends[1], "end")]
    return _figure(title, about, kinds, TOP + HEIGHT + BOTTOM, drawn)


def lines(
    title: str,
    about: str,
    drawn: Sequence[Line],
    marks: Sequence[tuple[str, float]] = (),
    form: Form = number,
    places: Form = number,
) -> str:
    """Values over a common axis, and ``marks``, limits that are drawn across. Both axes are linear."""
    points = [point for line in drawn for point in line.points]
    if not points:
        return ""
    # A limit far above everything would press the lines flat.
    tall = max(value for _unused, value in points)
    shown = [(name, value) for name, value in marks if value <= 3 * tall]
    tall = max([tall, *(value for _unused, value in shown)]) or 1.0
    step = _step(tall)
    most = step * math.ceil(tall / step - 1e-9)
    left, right = min(place for place, _unused in points), max(place for place, _unused in points)

    def x(place: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (place - left) / ((right - left) or 1.0)

    def y(value: float) -> float:
        return TOP + HEIGHT - HEIGHT * value / most

    parts = list(_axis(most, step, form))
    for name, value in shown:
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(_text(WIDTH - 20, y(value) - 4, name, "end"))
    for line in drawn:
        path = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in line.points)
        parts.append(f'<polyline class="{line.kind.name}" points="{path}"/>')
        parts += [
            f'<circle class="{line.kind.name}" cx="{x(place):.1f}" cy="{y(value):.1f}" r="{3 if len(line.points) < 80 else 1}">'
            f"<title>{escape(f'{places(place)}: {line.kind.label} {form(value)}')}</title></circle>"
            for place, value in line.points
        ]
    apart = _step((right - left) or 1.0)
    ticks = (
        [apart * tick for tick in range(math.ceil(left / apart), math.floor(right / apart) + 1)]
        if right > left
        else [left]
    )
    parts += [_text(x(tick), TOP + HEIGHT + 16, places(tick), "middle") for tick in ticks]
    return _figure(title, about, [line.kind for line in drawn], TOP + HEIGHT + BOTTOM, parts)


def _step(most: float) -> float:
    """The distance of an axis' marks: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(most / TICKS))
    return next(step * power for step in (1, 2, 5, 10) if step * power * TICKS >= most * 0.999)


def _axis(most: float, step: float, form: Form) -> Iterator[str]:
    for tick in range(round(most / step) + 1):
        y = TOP + HEIGHT - HEIGHT * tick * step / most
        yield _line(y)
        yield _text(LEFT - 8, y + 4, form(tick * step), "end")


def _line(y: float) -> str:
    return f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _box(x: float, y: float, width: float, height: float, kind: Kind, text: str) -> str:
    return (
        f'<rect class="{kind.name}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}">'
        f"<title>{escape(text)}</title></rect>"
    )


def _figure(title: str, about: str, kinds: Sequence[Kind], height: float, drawn: Iterable[str]) -> str:
    legend = "".join(f'<span><i class="{kind.name}"></i>{escape(kind.label)}</span>' for kind in kinds)
    return (
        f"<figure><figcaption>{escape(title)}{legend}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(f"{title}. {about}")}">'
        f"<desc>{escape(about)}</desc>{''.join(drawn)}</svg></figure>"
    )
