# SPDX-License-Identifier: Apache-2.0
"""Report the result of a rehearsal of migrations on the controller, and whether the run continues."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.migration import rehearsal
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/rehearsal_verdict.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("database", "host", "copy", "tried", "gone", "verdict"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge the rounds in sequence, and print the result."""
        result = {**super().run(tmp, task_vars), "changed": False, "lines": []}
        args = self._task.args
        variables = (task_vars or {})["hostvars"][args["host"]]
        copy, tried, gone = (variables.get(args[name]) for name in ("copy", "tried", "gone"))
        verdict = barrier.judge("rehearse", {args["database"]: copy}, args["verdict"])
        verdict = barrier.judge("rehearse", {args["host"]: tried}, verdict)
        # A leftover copy is removed by the next rehearsal, and is as confidential as the database until then.
        swept = barrier.judge("rehearse", {args["database"]: gone}, verdict, noted={"rehearse"})
        verdict = swept if verdict["ok"] else verdict
        if verdict["ok"]:
            found = rehearsal.lines(copy or {}, tried or {}, (gone or {}).get("rewritten", []))
            result["lines"] = say.show([f"  rehearsed  {line}" for line in found], "bright blue")
        return {**result, "verdict": verdict}
