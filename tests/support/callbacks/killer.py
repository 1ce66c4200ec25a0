# SPDX-License-Identifier: Apache-2.0
"""A controller that dies at a chosen task: no signal it could handle, nothing it could clean up. Or the world changes at it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: killer
type: notification
short_description: Kill the controller, or do something else, at a task's start or result
description:
  - For tests of what a run leaves behind that ended in the middle.
  - Callbacks run in the controller's main process, in step with it, so nothing happens between the event and its end.
    What its workers have begun on other hosts goes on, as it does when somebody kills that process.
requirements:
  - The environment variable E(SLUICE_KILL), V(start:<beginning of a task's name>[:<host>]) or V(result:...). A result is one
    that was not skipped.
  - With E(SLUICE_INSTEAD), a shell command, the controller does not die there: it waits for the command and goes on.
"""


class CallbackModule(CallbackBase):
    """Waits for one event."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "killer"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        when, _, what = os.environ.get("SLUICE_KILL", "").partition(":")
        self._when = when
        self._task, _, self._host = what.partition(":")
        self._instead = os.environ.get("SLUICE_INSTEAD")
        if not when:
            self.disabled = True

    def _reached(self, when: str, task: str, host: str | None) -> None:
        if when == self._when and task.startswith(self._task) and (not self._host or host == self._host):
            if not self._instead:
                os.kill(os.getpid(), signal.SIGKILL)
            self._when = ""  # once
            subprocess.run(str(self._instead), shell=True, check=True, capture_output=True)

    def _result(self, result: Any, **_: Any) -> None:
        task = result.task if hasattr(result, "task") else result._task
        self._reached("result", task.name, (result.host if hasattr(result, "host") else result._host).get_name())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._reached("start", task.name, None)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._reached("start", task.name, host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result(result)
