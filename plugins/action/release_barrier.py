# SPDX-License-Identifier: Apache-2.0
"""Judge a step's results over a group of hosts, on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_barrier.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("step", "hosts", "result", "verdict"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect each host's result and judge."""
        result = super().run(tmp, task_vars)
        args = self._task.args
        hostvars = (task_vars or {})["hostvars"]
        answers = {host: hostvars[host].get(args["result"]) for host in args["hosts"]} if args["verdict"]["ok"] else {}
        return {**result, "changed": False, "verdict": barrier.judge(args["step"], answers, args["verdict"])}
