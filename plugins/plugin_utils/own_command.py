# SPDX-License-Identifier: Apache-2.0
"""Run another playbook from within a run, with the options of that: inventory, vault passwords, variables, verbosity."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from ansible import context
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore
from ansible_collections.sluice.stack.plugins.plugin_utils import say


def run(playbook: str, title: str, options: Sequence[str], instead: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Run it and stream its output; returns the exit code and the lines. ``title`` is how it is called in the output.

    ``instead`` are options that win over those of this run: of two ``-e`` that set a variable, the later one does.
    """
    command = [*auto_restore.command(sys.argv, context.CLIARGS["args"], playbook, options), *instead]
    say.now(f"$ ansible-playbook {title} {' '.join([*options, *instead])}", "bright blue")
    output = []
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    for line in process.stdout or ():
        output.append(line.rstrip("\n"))
        say.now(output[-1])
    return process.wait(), output
