# SPDX-License-Identifier: Apache-2.0
"""Print the log lines of all hosts in the order of time."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils import suggest
from ansible_collections.sluice.stack.plugins.module_utils.logs import lines
from ansible_collections.sluice.stack.plugins.plugin_utils import say

INPUTS = frozenset(
    f"logs_{name}" for name in ("service", "lines", "since", "until", "level", "grep", "regexp", "from", "follow")
)


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/logs_show.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("hosts", "observed_by"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, merge, print."""
        result = {**super().run(tmp, task_vars), "changed": False}
        variables = task_vars or {}
        unknown = {name for name in variables if name.startswith("logs_")} - INPUTS
        if unknown:
            name = min(unknown)
            return {
                **result,
                "failed": True,
                "msg": f"{name} is unknown: {suggest.did_you_mean(name, INPUTS, 'logs_')}",
            }
        answers = {
            host: variables["hostvars"][host].get(self._task.args["observed_by"]) or {}
            for host in self._task.args["hosts"]
        }
        found = lines.merged({host: answer.get("entries") or [] for host, answer in answers.items()})
        cut = sorted(host for host, answer in answers.items() if answer.get("left_out"))
        found += (
            [f"Older lines of {', '.join(cut)} were left out: ask for less with logs_since, logs_service or logs_lines"]
            if cut
            else []
        )
        return {**result, "lines": say.show(found)}
