# SPDX-License-Identifier: Apache-2.0
"""Write what was seen of a feature flag's sides, as JSON and as a page."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.flags import page
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/flag_report.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("app", "run", "flag", "looks", "headline", "ok", "directory"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, write, print."""
        result = super().run(tmp, task_vars)
        args, run = self._task.args, self._task.args["run"]
        made = {
            **{key: str(args[key]) for key in ("app", "flag", "headline")},
            "ok": bool(args["ok"]),
            "looks": list(args["looks"]),
            **{key: str(run[key]) for key in ("action", "who", "id")},
            "time": str(run["started"]),
        }
        lines = [f"  {made['flag']}: {made['headline']}"]
        directory = os.path.expanduser(str(args.get("directory", "reports")))
        if directory:
            lines.append(f"  written to {self._write(directory, made)}.html and .json")
        return {**result, "changed": False, "report": made, "lines": say.show(lines)}

    @staticmethod
    def _write(directory: str, made: dict[str, Any]) -> str:
        """Write both files; returns their path without the suffix."""
        name = f"{made['app']}-{made['action']}-{made['flag']}-{made['time'].replace(':', '')}"
        path = os.path.join(directory, name)
        try:
            os.makedirs(directory, exist_ok=True)
            for suffix, text in (("json", json.dumps(made, indent=2) + "\n"), ("html", page.html(made))):
                with open(f"{path}.{suffix}", "w", encoding="utf-8") as file:
                    file.write(text)
        except OSError as error:
            raise AnsibleActionFail(f"rollout_report is {directory}: {error.strerror}") from error
        return path
