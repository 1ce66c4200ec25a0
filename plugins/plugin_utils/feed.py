# SPDX-License-Identifier: Apache-2.0
"""Ansible's callbacks in, typed events out: what every callback plugin of the collection reads a run with."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from ansible import context
from ansible.playbook.block import Block
from ansible_collections.sluice.stack.plugins.module_utils.events import stream
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event


class Feed:
    """Gives the events of a run to ``read``, one call at a time, also when a timer asks for signs of life."""

    def __init__(self, read: Callable[[Iterable[Event]], None]) -> None:
        self._read = read
        self._stream = stream.Stream(time.time())
        self._lock = threading.RLock()

    def waiting(self) -> None:
        """Nothing may have happened for a while."""
        with self._lock:
            self._read(self._stream.waiting(time.time()))

    def task_started(self, task: Any) -> None:
        """``v2_playbook_on_task_start`` and ``v2_playbook_on_handler_task_start``."""
        with self._lock:
            self._read(self._stream.task_started(_task(task), time.time()))

    def host_started(self, host: Any, task: Any) -> None:
        """``v2_runner_on_start``."""
        with self._lock:
            self._stream.host_started(_task(task), host.get_name(), time.time())

    def ok(self, result: Any, diff: str = "") -> None:
        """``v2_runner_on_ok``."""
        self._answer(result, "ok", diff=diff)

    def failed(self, result: Any, ignore_errors: bool) -> None:
        """``v2_runner_on_failed``."""
        self._answer(result, "failed", ignored=ignore_errors or _rescued(result.task))

    def unreachable(self, result: Any) -> None:
        """``v2_runner_on_unreachable``."""
        self._answer(result, "unreachable", ignored=bool(result.task.ignore_unreachable))

    def skipped(self, result: Any) -> None:
        """``v2_runner_on_skipped``."""
        self._answer(result, "skipped")

    def ended(self, stats: Any) -> None:
        """``v2_playbook_on_stats``."""
        hosts = [host for host in sorted(stats.processed) if host != "localhost"]
        with self._lock:
            self._read(self._stream.ended(hosts, time.time(), bool(context.CLIARGS.get("check"))))

    def _answer(self, result: Any, status: str, ignored: bool = False, diff: str = "") -> None:
        answer = stream.Result(
            _task(result.task),
            result.host.get_name(),
            time.time(),
            result.result,
            status=status,
            ignored=ignored,
            check=bool(result.task.check_mode),
            diff=diff,
            on=str(result.task.delegate_to or ""),
        )
        with self._lock:
            self._read(self._stream.result(answer))


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
        # By id: of an included file Ansible runs copies.
        if isinstance(outer, Block) and outer.rescue and inner._uuid not in _ids(*outer.rescue, *outer.always):
            return True
        inner, outer = outer, outer._parent
    return False


def _ids(*tasks: Any) -> set[str]:
    return {task._uuid for task in tasks}
