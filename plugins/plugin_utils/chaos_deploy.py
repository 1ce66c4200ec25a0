# SPDX-License-Identifier: Apache-2.0
"""A deploy that is killed as by a power cut, and the deploy after it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore

# A variable that makes a deploy of the live version a release of its own.
MARK = "SLUICE_CHAOS"
# When it is killed, in seconds after its plan was printed.
EARLIEST, LATEST = 0.5, 8.0
BEGIN_SECONDS, END_SECONDS = 120.0, 900.0


def command(playbook: str, version: str, more: Sequence[str] = ()) -> list[str]:
    """The command line of a deploy with the options of this run; what is only this run's is left out by its own check of names."""
    options = ["-e", f"app_version={version}", "-e", "release_reason=chaos experiment deploy_killed", *more]
    return [sys.executable, *auto_restore.command(sys.argv, context.CLIARGS["args"], playbook, options)]


def killed(playbook: str, version: str, env: Mapping[str, Any], run_id: str) -> str:
    """Begin a deploy and kill it at a moment of chance; returns when that was. Raises AnsibleError when it does not get so far."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as extra:
        json.dump({"app_env": {**env, MARK: run_id}}, extra)
        extra.flush()
        process = subprocess.Popen(
            command(playbook, version, ["-e", f"@{extra.name}"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            lines = _until_planned(process)
            after = random.uniform(EARLIEST, LATEST)  # noqa: S311 - no secret
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(after)
                raise AnsibleError("the deploy that was to be killed ended before that")
        finally:
            kill(process.pid)
        process.wait()
    rest = process.stdout.read() if process.stdout else ""
    last = next((line for line in reversed([*lines, *rest.splitlines()]) if line.strip()), "").strip()
    return f"killed {after:.1f} s after its plan, having printed: {last[:80]}"


def _until_planned(process: subprocess.Popen[str]) -> list[str]:
    """Read up to the plan, whose first line names the release."""
    deadline, lines = time.monotonic() + BEGIN_SECONDS, []
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if line.startswith("Deploy "):
            return lines
        if time.monotonic() > deadline:
            break
    raise AnsibleError(f"the deploy that was to be killed did not begin: {' '.join(lines[-3:])[-300:]}")


def completed(playbook: str, version: str) -> None:
    """Run the deploy as the inventory has it, to its end. Raises AnsibleError."""
    done = subprocess.run(
        command(playbook, version, ["-e", "release_wait_seconds=120"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=END_SECONDS,
        check=False,
    )
    if done.returncode:
        raise AnsibleError(f"the deploy after the killed one failed: {' '.join(done.stdout.splitlines()[-2:])[-300:]}")


def kill(pid: int) -> None:
    """Kill a process and all that descend from it at once, as a power cut does. What is stopped first starts nothing meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for one in reversed(_family(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as handle:
                    found += [int(child) for child in handle.read().split()]
    return found
