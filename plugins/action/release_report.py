# SPDX-License-Identifier: Apache-2.0
"""Report the result of a run: one line after a failure, the live release and the time after a success."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.plan import report
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_report.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("plan", "verdict", "run", "data"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print, and fail when the run failed."""
        result = super().run(tmp, task_vars)
        args = self._task.args
        verdict, plan = args["verdict"], args["plan"]
        if not verdict["ok"]:
            return {**result, "failed": True, "msg": report.failure(args["run"], plan, verdict, args.get("data"))}
        lines = say.show(report.success(args["run"], plan, verdict, self._task.check_mode), "green")
        say.show(report.times(args["run"], verdict))
        return {**result, "changed": False, "lines": lines, "notes": say.warn(verdict["notes"])}
