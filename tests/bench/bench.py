# SPDX-License-Identifier: Apache-2.0
"""What a release costs, as ratios to a ruler measured in the same run: `make bench`.

The ruler is a playbook of ten `ping` tasks over the same hosts, as many as the release goes to. Every round measures the ruler and each
command once, over each number of hosts, so that what else the machine does falls on all of them alike; the table has medians over the
rounds. Whole commands are timed, from the shell's view: also what comes after the release is recorded.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.bench import figures, fleet, table
from tests.bench.measure import REPO, Timing, play
from tests.bench.table import Round, Row

RULER = "tests/bench/ruler.yml"
SIZES = (1, 2, 4, 8)
RESTORE_POINT = (
    "-e",
    '{"app_backup": {"restore_point": true}, "release_database": "db1", "release_backup_engine": "pgbackrest"}',
)
ALL_COMMANDS = 2  # the number of hosts over which more than the deploy is measured


class Measured:
    """The timings of one round so far; each is shown as it comes."""

    def __init__(self, inventories: dict[int, Path]) -> None:
        self.inventories = inventories
        self.timings: Round = {}

    def play(self, row: Row, playbook: str, *arguments: str) -> Timing:
        """Run a playbook over as many hosts as the row says."""
        return self.note(row, play(playbook, self.inventories[row[1]], *arguments))

    def note(self, row: Row, timing: Timing) -> Timing:
        """Keep a timing."""
        self.timings[row] = timing
        print(f"  {table.label(row):<26}{timing.wall:>8.2f} s", flush=True)
        return timing


def one_size(measured: Measured, size: int, version: str) -> None:
    """The ruler and a deploy. What is left is not kept warm: the next deploy finds its slot empty, as one a day later does."""
    measured.play(("ruler", size), RULER)
    measured.play(("deploy", size), "deploy.yml", "-e", f"app_version={version}", "-e", "release_warm_minutes=0")


def all_commands(measured: Measured, size: int, version: str) -> None:
    """The ruler, a deploy, and what else there is to a release."""
    measured.play(("ruler", size), RULER)
    deploy = measured.play(("deploy", size), "deploy.yml", "-e", f"app_version={version}")
    measured.play(("noop", size), "deploy.yml", "-e", f"app_version={version}")
    measured.play(("rollback_warm", size), "rollback.yml")
    fleet.wait_until_retired(size)
    measured.play(("rollback_cold", size), "rollback.yml", "-e", f"release_to={version}")
    # The same with a restore point in the lab's database, confirmed in the archive; the app itself has none. It keeps nothing warm
    # either: the next round's deploy would stop and clean that up in its start.
    point = measured.play(
        ("deploy_with_restore_point", size),
        "deploy.yml",
        "-e",
        f"app_version={fleet.push(version + '-point')}",
        "-e",
        "release_warm_minutes=0",
        *RESTORE_POINT,
    )
    measured.note(("restore_point", size), Timing(point.steps["restore_point"]))
    # What any tool takes: the image, the container, until it answers. And what the deploy adds to that.
    measured.note(("start", size), Timing(deploy.steps["start"]))
    measured.note(("added", size), Timing(deploy.wall - deploy.steps["start"]))


def one_round(inventories: dict[int, Path], name: str, turn: int = 0) -> Round:
    """Every command over every number of hosts, which take turns in being first."""
    print(name, flush=True)
    sizes = list(inventories)
    measured = Measured(inventories)
    for size in sizes[turn % len(sizes) :] + sizes[: turn % len(sizes)]:
        version = fleet.push(f"{name}-{size}")
        (all_commands if size == ALL_COMMANDS else one_size)(measured, size, version)
    return dict(sorted(measured.timings.items(), key=lambda item: (item[0][1] != ALL_COMMANDS, item[0][1])))


def main() -> None:
    """Measure, write after every round, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is measured (default 5)")
    parser.add_argument(
        "--hosts", type=int, nargs="+", default=SIZES, metavar="N", help="numbers of app hosts (default 1 2 4 8)"
    )
    options = parser.parse_args()
    # What is cut off clears up as well, and what was measured by then is written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by a signal"))
    stamp = int(time.time())
    rounds: list[Round] = []
    with fleet.hosts(options.hosts) as inventories:
        fleet.forget(options.hosts)
        try:
            base = fleet.push(f"r{stamp}-base")
            for inventory in inventories.values():
                play("deploy.yml", inventory, "-e", f"app_version={base}")
            # The first round opens connections, pulls what all versions share, and is not counted.
            one_round(inventories, f"r{stamp}-uncounted")
            for turn in range(options.rounds):
                rounds.append(one_round(inventories, f"r{stamp}-{turn + 1}", turn))
                figures.write(table.figures(rounds))
        finally:
            fleet.forget(options.hosts)
    print("", *table.lines(rounds), f"written to {figures.TARGET.relative_to(REPO)}", sep="\n")


if __name__ == "__main__":
    main()
