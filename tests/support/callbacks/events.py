# SPDX-License-Identifier: Apache-2.0
"""What a run did, as lines of JSON in the file that SLUICE_EVENTS names, next to the output people read."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: events
type: notification
short_description: Write each task's result to a file
description:
  - For tests, which ask whether a task ran on a host, and must not read that from coloured text.
requirements:
  - The environment variable E(SLUICE_EVENTS) names the file.
"""


class CallbackModule(CallbackBase):
    """One line for each result, and one for the recap."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._path = os.environ.get("SLUICE_EVENTS")
        if not self._path:
            self.disabled = True

    def _write(self, line: dict[str, Any]) -> None:
        with open(self._path or os.devnull, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    def _result(self, result: Any, status: str, ignored: bool = False) -> None:
        body = getattr(result, "result", None) or result._result
        task = result.task if hasattr(result, "task") else result._task
        self._write(
            {
                "task": task.name,
                "action": task.action,
                "host": (result.host if hasattr(result, "host") else result._host).get_name(),
                "status": "changed" if status == "ok" and body.get("changed") else status,
                "ignored": ignored,
                "message": str(body.get("msg", "")),
            }
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result, "failed", bool(ignore_errors))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        task = result.task if hasattr(result, "task") else result._task
        self._result(result, "unreachable", bool(task.ignore_unreachable))

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result(result, "skipped")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write({"recap": {host: stats.summarize(host) for host in sorted(stats.processed)}})
