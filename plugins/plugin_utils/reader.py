# SPDX-License-Identifier: Apache-2.0
"""A callback plugin that reads the events of a run, and has its say when the run has ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event
from ansible_collections.sluice.stack.plugins.plugin_utils.feed import Feed


class Reader(CallbackBase):
    """Gives a plugin events in place of Ansible's callbacks; the methods of those names are Ansible's."""

    def __init__(self) -> None:
        super().__init__()
        self._feed = Feed(self.read)

    def read(self, happened: Iterable[Event]) -> None:
        """Take events in."""
        raise NotImplementedError

    def ended(self) -> None:
        """The run is over."""
        raise NotImplementedError

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002, D102
        self._feed.task_started(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:  # noqa: D102
        self._feed.task_started(task)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:  # noqa: D102
        self._feed.host_started(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:  # noqa: D102
        self._feed.ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: D102
        self._feed.failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:  # noqa: D102
        self._feed.unreachable(result)

    def v2_runner_on_skipped(self, result: Any) -> None:  # noqa: D102
        self._feed.skipped(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: D102
        self._feed.ended(stats)
        self.ended()
