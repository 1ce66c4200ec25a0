# SPDX-License-Identifier: Apache-2.0
"""What the rounds say: medians, as a table for people and as the flat figures of build/bench.json. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from tests.bench.measure import Timing

# A command and the number of app hosts it ran over.
Row = tuple[str, int]
Round = dict[Row, Timing]


def label(row: Row) -> str:
    """The name of a row: the others are measured over two hosts only."""
    command, size = row
    return f"{command}_{size}_host{'s' if size > 1 else ''}" if command in ("ruler", "deploy") else command


def median(rounds: Sequence[Round], value: Callable[[Round], float]) -> float:
    """The median of a value over the rounds."""
    return statistics.median(value(one) for one in rounds)


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """All figures by name. A ratio is taken within each round, where what else the machine did fell on both alike."""
    found: dict[str, float] = {"rounds": len(rounds)}
    for row in rounds[0]:
        name, ruler = label(row), ("ruler", row[1])
        found[f"{name}_seconds"] = median(rounds, lambda one, row=row: one[row].wall)
        if row != ruler:
            found[f"{name}_ruler"] = median(rounds, lambda one, row=row, ruler=ruler: one[row].wall / one[ruler].wall)
        if remote := rounds[0][row].remote:
            found[f"{name}_cpu_seconds"] = median(rounds, lambda one, row=row: one[row].cpu)
            found[f"{name}_remote_tasks_per_app_host"] = remote.get("app1", 0)
            found[f"{name}_remote_tasks_per_edge"] = remote.get("edge1", 0)
    sizes = sorted(size for command, size in rounds[0] if command == "deploy")
    if {2, 8} <= set(sizes):
        found["deploy_8_over_2_hosts"] = median(rounds, lambda one: one["deploy", 8].wall / one["deploy", 2].wall)
    if len(sizes) > 1:
        least, most = sizes[0], sizes[-1]
        found["seconds_per_added_host"] = median(
            rounds, lambda one: (one["deploy", most].wall - one["deploy", least].wall) / (most - least)
        )
    return {name: round(value, 3) for name, value in found.items()}


def lines(rounds: Sequence[Round]) -> list[str]:
    """The table, a row for each command."""
    got = figures(rounds)
    table = [f"{'command':<26}{'seconds':>9}{'rulers':>8}{'CPU s':>8}{'tasks on app, edge':>20}  steps"]
    for row in rounds[0]:
        name = label(row)
        steps = {
            step: median(rounds, lambda one, row=row, step=step: one[row].steps.get(step, 0.0))
            for step in rounds[0][row].steps
        }
        tasks = [got.get(f"{name}_remote_tasks_per_{where}") for where in ("app_host", "edge")]
        table.append(
            f"{name:<26}{got[f'{name}_seconds']:>9.2f}"
            f"{_figure(got.get(f'{name}_ruler'), 8, 2)}{_figure(got.get(f'{name}_cpu_seconds'), 8, 2)}"
            f"{_figure(tasks[0], 16, 0)}{_figure(tasks[1], 4, 0)}"
            f"  {', '.join(f'{step} {seconds:.1f}' for step, seconds in steps.items())}".rstrip()
        )
    for name, text in (
        ("deploy_8_over_2_hosts", "a deploy to 8 hosts takes {} times one to 2 hosts"),
        ("seconds_per_added_host", "each added host costs a deploy {} s"),
    ):
        if name in got:
            table.append(text.format(got[name]))
    return table


def _figure(value: float | None, width: int, digits: int) -> str:
    return f"{value:{width}.{digits}f}" if value is not None else " " * width
