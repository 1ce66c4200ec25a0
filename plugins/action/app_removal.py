# SPDX-License-Identifier: Apache-2.0
"""Show what removing an app would remove, and judge the confirmation."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.plan import removal
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/app_removal.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("app", "listed_by", "confirm", "remove_data", "excluded", "verdict"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, print, return."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        verdict = args["verdict"]
        if not verdict["ok"]:
            return {**result, "confirmed": False, "verdict": verdict}
        answers = {host: hostvars[host].get(args["listed_by"]) or {} for host in hostvars}
        found = {host: answer["found"] for host, answer in answers.items() if "found" in answer}
        try:
            confirmed = removal.check(args["app"], found, str(args.get("confirm") or ""))
        except removal.NotConfirmed as error:
            return {**result, "confirmed": False, "verdict": {**verdict, "ok": False, "message": str(error)}}
        shown = removal.lines(
            args["app"],
            found,
            confirmed=confirmed and not self._task.check_mode,
            remove_data=bool(args.get("remove_data", False)),
            excluded=args.get("excluded") or [],
        )
        return {
            **result,
            "confirmed": confirmed and not self._task.check_mode,
            "confirmation": removal.confirmation(args["app"], found),
            "verdict": verdict,
            "lines": say.show(shown),
        }
