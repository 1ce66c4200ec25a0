# SPDX-License-Identifier: Apache-2.0
"""Show what is live, and where."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_status.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("app", "edges", "apps", "observed_by", "rotations", "show", "runs"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, summarise, print."""
        result = super().run(tmp, task_vars)
        args = self._task.args
        hostvars = (task_vars or {})["hostvars"]
        answers = {host: hostvars[host].get(args["observed_by"]) or {} for host in {*args["edges"], *args["apps"]}}
        observed = {host: answer["observation"] for host, answer in answers.items() if "observation" in answer}
        unreachable = {
            host: str(answer.get("msg", "no result")).removeprefix("Task failed: ")
            for host, answer in answers.items()
            if host not in observed
        }
        summary = status.summarise(
            args["app"], args["edges"], args["apps"], observed, unreachable, args.get("rotations")
        )
        show = args.get("show", "status")
        if show == "history":
            history = ledger.merge_texts(item["ledger"] for item in observed.values())
            switches = status.switch_lines(item.get("switches") or [] for item in observed.values())
            lines = status.history_lines(args["app"], history, int(args.get("runs", 20)), switches)
        else:
            lines = {"status": status.lines, "leases": status.lease_lines}.get(show, lambda _unused: [])(summary)
        return {**result, "changed": False, **summary, "problems": status.problems(summary), "lines": say.show(lines)}
