# SPDX-License-Identifier: Apache-2.0
"""What every program that a role installs on a host does with a command: its exit code, its answer for people or for playbooks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

Answer = tuple[int, dict[str, Any]]
Command = Callable[[Mapping[str, Any], argparse.Namespace], Answer]


def answer(
    asked: argparse.Namespace,
    commands: Mapping[str, Command],
    settings: Callable[[], Mapping[str, Any]],
    errors: tuple[type[Exception], ...],
) -> int:
    """Run ``asked.command`` and print what it answers, in JSON when ``asked.json``; its exit code.

    0 is well, 1 is not well, 2 is: could not be done, which is what ``errors`` and OSError mean. An answer has ``lines`` for people.
    """
    os.umask(0o077)
    expected: tuple[type[Exception], ...] = (*errors, OSError)
    try:
        code, found = commands[asked.command](settings(), asked)
    except expected as error:
        code, found = 2, {"failed": str(error), "lines": [str(error)]}
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        (sys.stderr if code == 2 else sys.stdout).write("\n".join(found["lines"]) + "\n")
    return code
