# SPDX-License-Identifier: Apache-2.0
"""Judge a canary from the counts of all edges, on the controller."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.canary import verdict as canary
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings, SettingsError
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/canary_verdict.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("hosts", "result", "settings", "verdict", "last"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect each edge's counts, add them up and judge."""
        result = super().run(tmp, task_vars)
        args = self._task.args
        hostvars = (task_vars or {})["hostvars"]
        answers = {host: hostvars[host].get(args["result"]) or {} for host in args["hosts"]}
        counted = {host: answer["counts"] for host, answer in answers.items() if "counts" in answer}
        missing = {
            host: str(answer.get("msg", "no result")).removeprefix("Task failed: ")
            for host, answer in answers.items()
            if host not in counted
        }
        try:
            settings = Settings.from_data(args.get("settings") or {})
            counts = canary_log.add(list(counted.values())) if counted else None
            verdict = canary.judge(counts, settings, missing)
        except (SettingsError, canary_log.CountsDiffer) as error:
            raise AnsibleActionFail(str(error)) from error
        lines = say.show(f"  canary     {reason}" for reason in verdict["reasons"])
        after = canary.conclude(
            verdict, args.get("verdict") or barrier.start(time.time()), last=bool(args.get("last", True))
        )
        return {**result, "changed": False, "lines": lines, "canary": verdict, "verdict": after}
