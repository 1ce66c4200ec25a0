# SPDX-License-Identifier: Apache-2.0
"""Output of action plugins for the operator: they return ``lines`` and ``notes``, which are printed exactly once.

The collection's console prints them from the result. Other text callbacks do not, so they are printed here. With machine-readable output
(ANSIBLE_STDOUT_CALLBACK=json) they are only in the results.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible import constants
from ansible.utils.display import Display

CONSOLE = "sluice.stack.console"


def for_people() -> bool:
    """Whether standard output is text, not machine-readable."""
    return "json" not in constants.DEFAULT_STDOUT_CALLBACK


def _prints_itself() -> bool:
    return constants.DEFAULT_STDOUT_CALLBACK == CONSOLE or not for_people()


def show(lines: Iterable[str], color: str | None = None) -> list[str]:
    """Print the lines; returns them for the result."""
    shown = list(lines)
    if not _prints_itself():
        for line in shown:
            Display().display(line, color=color)
    return shown


def now(line: str, color: str | None = None) -> None:
    """Print a progress line, unless the output is machine-readable."""
    if for_people():
        Display().display(line, color=color)


def warn(notes: Iterable[str]) -> list[str]:
    """Print the warnings; returns them for the result."""
    shown = list(notes)
    if not _prints_itself():
        for note in shown:
            Display().warning(note)
    return shown
