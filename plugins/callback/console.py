# SPDX-License-Identifier: Apache-2.0
"""Console output of a run: the plan, a line for each step, the result."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from ansible import constants, context
from ansible.playbook.block import Block
from ansible.plugins.callback.default import CallbackModule as Default
from ansible_collections.sluice.stack.plugins.module_utils.events import console, stream
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event

DOCUMENTATION = r"""
name: console
type: stdout
short_description: Print the plan, a line for each step, the result, and an error once and last
version_added: 0.1.0
description:
  - Made for the playbooks of this collection, and usable with others. A deploy prints its plan, one line for each step with its hosts and
    seconds, and its result. A task outside of a release prints a line when it changed something.
  - A failed run ends with one line with the error; details, such as a container's log, are above it. Both go to standard error, like the
    progress line after 10 seconds without output.
  - With C(-v) and more it is Ansible's own P(ansible.builtin.default#callback), with the plan and the last line of this one.
  - It moves no cursor, and uses colours only on a terminal, so it is readable in a CI log.
author: Sluice maintainers (@sluice-stack)
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration, C(stdout_callback = sluice.stack.console)
"""

TONES = {
    "plan": "bright blue",
    "good": constants.COLOR_OK,
    "bad": constants.COLOR_ERROR,
    "changed": constants.COLOR_CHANGED,
    "warning": constants.COLOR_WARN,
}
TICK = 1.0


class CallbackModule(Default):
    """Feeds Ansible's callbacks to the stream of events, and prints the console's lines."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "sluice.stack.console"

    def __init__(self) -> None:
        super().__init__()
        self._verbose = self._display.verbosity > 0
        self._stream = stream.Stream(time.time())
        self._console = console.Console(self._verbose)
        # Events come from Ansible's main thread and from the timer thread.
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._diffs: dict[tuple[str, str], str] = {}

    def _read(self, happened: Iterable[Event]) -> None:
        """Print the lines of events."""
        for event in happened:
            for line in self._console.lines(event):
                self._display.display(line.text, color=TONES.get(line.tone), stderr=line.stderr)
        # In a pipe Python buffers output.
        sys.stdout.flush()
        sys.stderr.flush()

    def _watch(self) -> None:
        while not self._over.wait(TICK):
            with self._lock:
                self._read(self._stream.waiting(time.time()))

    def v2_playbook_on_start(self, playbook: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_start(playbook)
        else:
            threading.Thread(target=self._watch, daemon=True).start()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_play_start(play)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        with self._lock:
            self._read(self._stream.task_started(_task(task), time.time()))
        if self._verbose:
            super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        with self._lock:
            self._read(self._stream.task_started(_task(task), time.time()))
        if self._verbose:
            super().v2_playbook_on_handler_task_start(task)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        with self._lock:
            self._stream.host_started(_task(task), host.get_name(), time.time())
        if self._verbose:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._answer(result, "ok")
        if self._verbose:
            super().v2_runner_on_ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._answer(result, "failed", ignored=ignore_errors or _rescued(result.task))
        if self._verbose:
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._answer(result, "unreachable", ignored=bool(result.task.ignore_unreachable))
        if self._verbose:
            super().v2_runner_on_unreachable(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._answer(result, "skipped")
        if self._verbose:
            super().v2_runner_on_skipped(result)

    def v2_on_file_diff(self, result: Any) -> None:
        if self._verbose:
            super().v2_on_file_diff(result)
            return
        found = result.result.get("results") if result.task.loop else [result.result]
        texts = [
            self._get_diff(item["diff"]) for item in found or () if item.get("diff") and item.get("changed", False)
        ]
        self._diffs[result.host.get_name(), result.task._uuid] = "".join(filter(None, texts))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._over.set()
        if self._verbose:
            super().v2_playbook_on_stats(stats)
        hosts = [host for host in sorted(stats.processed) if host != "localhost"]
        with self._lock:
            self._read(self._stream.ended(hosts, time.time(), bool(context.CLIARGS.get("check"))))

    def _answer(self, result: Any, status: str, ignored: bool = False) -> None:
        if not self._verbose:
            self._handle_warnings(result.result)
        name, task = result.host.get_name(), _task(result.task)
        answer = stream.Result(
            task,
            name,
            time.time(),
            result.result,
            status=status,
            ignored=ignored,
            check=bool(result.task.check_mode),
            diff=self._diffs.pop((name, task.id), ""),
            on=str(result.task.delegate_to or ""),
        )
        with self._lock:
            self._read(self._stream.result(answer))


def _quiet(name: str) -> Any:
    """Wrap a method of Ansible's own output to run only with ``-v``."""

    def method(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        if self._verbose:
            getattr(Default, name)(self, *args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    "v2_playbook_on_no_hosts_matched",
    "v2_playbook_on_no_hosts_remaining",
    "v2_playbook_on_include",
    "v2_playbook_on_notify",
    "v2_runner_retry",
    "v2_runner_on_async_poll",
    "v2_runner_on_async_ok",
    "v2_runner_on_async_failed",
    "v2_runner_item_on_ok",
    "v2_runner_item_on_failed",
    "v2_runner_item_on_skipped",
):
    setattr(CallbackModule, _name, _quiet(_name))


def _task(task: Any) -> stream.Task:
    role = task._role.get_name(include_role_fqcn=False) if task._role else ""
    return stream.Task(
        task._uuid,
        task.name or task.get_name(include_role_fqcn=False),
        task.action,
        role=role.rpartition(".")[2],
        where=_near(task.get_path()),
        run_once=task.run_once is True,
    )


def _near(path: str) -> str:
    """Return the path relative to the working directory, when it is below that."""
    return path.removeprefix(os.getcwd() + os.sep)


def _rescued(task: Any) -> bool:
    """Whether a block around the task has a rescue."""
    inner, outer = task, task._parent
    while outer is not None:
        if isinstance(outer, Block) and outer.rescue and inner not in (*outer.rescue, *outer.always):
            return True
        inner, outer = outer, outer._parent
    return False
