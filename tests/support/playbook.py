# SPDX-License-Identifier: Apache-2.0
"""Run a playbook as a person does, and know afterwards what it did."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

REPO = Path(__file__).resolve().parents[2]
BIN = REPO / ".venv" / "bin"
CALLBACKS = REPO / "tests" / "support" / "callbacks"


@cache
def known(task: str) -> str:
    """The beginning of a task's name; fails the test when no role or playbook has such a task, so nothing waits for it in vain."""
    files = (path for folder in ("roles", "playbooks") for path in (REPO / folder).rglob("*.yml"))
    assert any(f"- name: {task}" in path.read_text() for path in files), f"no task is called {task!r}"
    return task


@dataclass
class Run:
    """A playbook that ended."""

    # The runs of the test under way, for its report.
    history: ClassVar[list[Run]] = []

    command: str
    code: int
    output: str
    seconds: float
    events: list[dict[str, Any]] = field(default_factory=list)
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.output}\n(exit code {self.code} after {self.seconds:.1f} s)"

    __repr__ = __str__

    def good(self) -> Run:
        """This run; fails the test when the playbook failed."""
        assert self.code == 0, str(self)
        return self

    def ran(self, task: str) -> set[str]:
        """The hosts on which a task whose name begins like this was not skipped."""
        return {
            item["host"] for item in self.events if item["task"].startswith(known(task)) and item["status"] != "skipped"
        }

    def changed(self) -> dict[str, int]:
        """Hosts with changes, and how many."""
        return {host: numbers["changed"] for host, numbers in self.recap.items() if numbers["changed"]}

    def error(self) -> str:
        """What the run failed with. There must be one such message, and its first line must be the last of the output."""
        assert self.code != 0, f"the run should have failed\n{self}"
        errors = {
            item["message"]
            for item in self.events
            if item["status"] in ("failed", "unreachable") and not item["ignored"]
        }
        assert len(errors) == 1, f"{len(errors)} errors instead of one: {errors}\n{self}"
        message = errors.pop()
        last = self.output.rstrip().splitlines()[-1]
        first = message.split("\n")[0].removeprefix("Task failed: ")
        assert first in last, f"the message is not the last line: {message}\n{self}"
        return message


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the playbooks run in."""
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "events,killer",
        "ANSIBLE_NOCOLOR": "1",
        "COLUMNS": "200",
        **(extra or {}),
    }


class Started:
    """A playbook that is running; ``wait`` for its Run."""

    def __init__(self, arguments: list[str], environ: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._begin = time.monotonic()
        with tempfile.NamedTemporaryFile(prefix="sluice-events-", delete=False) as handle:
            self._events = Path(handle.name)
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  (lives as long as the process)
        self.process = subprocess.Popen(
            [str(BIN / "ansible-playbook"), *arguments],
            cwd=REPO,
            env=environment({"SLUICE_EVENTS": str(self._events), **(environ or {})}),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def events(self) -> list[dict[str, Any]]:
        """What it has done so far."""
        lines = [
            json.loads(line)
            for line in self._events.read_text(encoding="utf-8").splitlines(keepends=True)
            if line[-1] == "\n"
        ]
        return [line for line in lines if "task" in line]

    def signal(self, number: int) -> None:
        """Send a signal to it and to all it has started; its workers are in sessions of their own."""
        for process in reversed(_family(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        """End it as a machine does that loses power: all of it, at once."""
        # What is stopped first starts nothing while its children are looked for.
        self.process.send_signal(signal.SIGSTOP)
        self.signal(signal.SIGKILL)

    def processes(self, name: str = "") -> dict[int, str]:
        """The processes that this one, or what it started, has left or still has: their names by their numbers."""
        mine = f"SLUICE_EVENTS={self._events}\0".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mine in (process / "environ").read_bytes():
                    found[int(process.name)] = (process / "comm").read_text().strip()
        return {pid: one for pid, one in found.items() if name in ("", one)}

    def _kill_orphans(self) -> None:
        """End the workers of a controller that died alone: they would wait for it for ever."""
        for pid, name in self.processes().items():
            # The connections are kept for the next run, as always; and what outlives a controller to end its leases is under test.
            if name not in ("ssh", "sluice-lease"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def wait(self, timeout: float = 240) -> Run:
        """The run, once it has ended; one that does not end in time is killed and fails the test with its output."""
        late = False
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            late = True
            self.kill()
            code = self.process.wait()
        if code == -signal.SIGKILL:
            self._kill_orphans()
        self._output.seek(0)
        output = self._output.read()
        self._output.close()
        lines = [json.loads(line) for line in self._events.read_text(encoding="utf-8").splitlines()]
        self._events.unlink()
        run = Run(
            "ansible-playbook " + " ".join(self._arguments),
            code,
            output,
            time.monotonic() - self._begin,
            [line for line in lines if "task" in line],
            next((line["recap"] for line in lines if "recap" in line), {}),
        )
        Run.history.append(run)
        assert not late, f"it did not end within {timeout:g} s and was killed\n{run}"
        return run


def _family(process: int) -> list[int]:
    """A process and all that descend from it."""
    found = [process]
    for one in found:
        for listed in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in listed.read_text().split()]
    return found
