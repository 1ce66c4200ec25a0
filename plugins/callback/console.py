# SPDX-License-Identifier: Apache-2.0
"""Console output of a run: the plan, a line for each step, the result."""

from __future__ import annotations

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

import sys
import threading
from collections.abc import Iterable
from typing import Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default
from ansible_collections.sluice.stack.plugins.module_utils.events import console
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event
from ansible_collections.sluice.stack.plugins.plugin_utils.feed import Feed

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
        self._console = console.Console(self._verbose)
        self._feed = Feed(self._print)
        self._over = threading.Event()
        self._diffs: dict[tuple[str, str], str] = {}

    def _print(self, happened: Iterable[Event]) -> None:
        """Print the lines of events."""
        for event in happened:
            for line in self._console.lines(event):
                self._display.display(line.text, color=TONES.get(line.tone), stderr=line.stderr)
        # In a pipe Python buffers output.
        sys.stdout.flush()
        sys.stderr.flush()

    def _watch(self) -> None:
        while not self._over.wait(TICK):
            self._feed.waiting()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_start(playbook)
        else:
            threading.Thread(target=self._watch, daemon=True).start()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_play_start(play)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._feed.task_started(task)
        if self._verbose:
            super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._feed.task_started(task)
        if self._verbose:
            super().v2_playbook_on_handler_task_start(task)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._feed.host_started(host, task)
        if self._verbose:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._warn(result)
        self._feed.ok(result, self._diffs.pop((result.host.get_name(), result.task._uuid), ""))
        if self._verbose:
            super().v2_runner_on_ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._warn(result)
        self._feed.failed(result, ignore_errors)
        if self._verbose:
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._warn(result)
        self._feed.unreachable(result)
        if self._verbose:
            super().v2_runner_on_unreachable(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._warn(result)
        self._feed.skipped(result)
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
        self._feed.ended(stats)

    def _warn(self, result: Any) -> None:
        if not self._verbose:  # otherwise Ansible's own output does
            self._handle_warnings(result.result)


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
