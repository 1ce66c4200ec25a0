# SPDX-License-Identifier: Apache-2.0
"""Who prints what an action plugin has for a person: it returns ``lines`` and ``notes``, and the one who runs it sees them once.

The collection's console reads them in the result. Other output for people does not know them, so they are printed here. A program that reads
the output (ANSIBLE_STDOUT_CALLBACK=json) finds them in the results, and nothing else between those.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible import constants
from ansible.utils.display import Display

CONSOLE = "sluice.stack.console"


def for_people() -> bool:
    """Whether standard output is text that people read."""
    return "json" not in constants.DEFAULT_STDOUT_CALLBACK


def _prints_itself() -> bool:
    return constants.DEFAULT_STDOUT_CALLBACK == CONSOLE or not for_people()


def show(lines: Iterable[str], color: str | None = None) -> list[str]:
    """Have the lines seen; returns them for the result."""
    shown = list(lines)
    if not _prints_itself():
        for line in shown:
            Display().display(line, color=color)
    return shown


def now(line: str, color: str | None = None) -> None:
    """Print a line of something long while it runs, unless a program reads the output."""
    if for_people():
        Display().display(line, color=color)


def warn(notes: Iterable[str]) -> list[str]:
    """Have the warnings seen; returns them for the result."""
    shown = list(notes)
    if not _prints_itself():
        for note in shown:
            Display().warning(note)
    return shown
