# SPDX-License-Identifier: Apache-2.0
"""The command line of programs that roles install on hosts: exit codes, and output as text or JSON."""

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
    """Run ``asked.command`` and print its result, in JSON with ``asked.json``; returns the exit code.

    0 is success, 1 a bad result, 2 an error (``errors`` and OSError). A result has ``lines`` for text output.
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
