# SPDX-License-Identifier: Apache-2.0
"""Print what was promised and seen, and write it as JSON and as a page."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue, judge, report
from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Promise
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/chaos_report.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("app", "run", "experiments", "observed_by", "directory"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, judge, print, write."""
        result = super().run(tmp, task_vars)
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        rows = [self._row(item, hostvars, args["observed_by"]) for item in args["experiments"]]
        run = args["run"]
        found = report.data(rows, str(args["app"]), str(run["who"]), str(run["started"]))
        lines = report.lines(rows)
        directory = os.path.expanduser(str(args.get("directory", "reports")))
        if directory:
            lines.append(f"  written to {self._write(directory, found)}.html and .json")
        return {
            **result,
            "changed": False,
            "message": report.verdict(rows),
            "experiments": rows,
            "lines": say.show(lines),
        }

    @staticmethod
    def _row(item: dict[str, Any], hostvars: Any, name: str) -> dict[str, Any]:
        one, promise = catalogue.BY_NAME[item["experiment"]], Promise(**item["promise"])
        if item["skip"]:
            return judge.skipped(one, item["host"], promise, item["skip"]).as_data()
        answer = (hostvars[item["host"]].get(name) or {}).get(item["experiment"]) or {}
        if "seen" in answer:
            return dict(answer["seen"])
        why = str(answer.get("msg") or "no result").removeprefix("Task failed: ")
        return judge.unknown(one, item["host"], promise, " ".join(why.split())[:300]).as_data()

    @staticmethod
    def _write(directory: str, found: dict[str, Any]) -> str:
        """Write both files; returns their path without the suffix."""
        path = os.path.join(directory, f"{found['app']}-chaos-{found['time'].replace(':', '')}")
        try:
            os.makedirs(directory, exist_ok=True)
            for suffix, text in (("json", json.dumps(found, indent=2) + "\n"), ("html", report.html(found))):
                with open(f"{path}.{suffix}", "w", encoding="utf-8") as file:
                    file.write(text)
        except OSError as error:
            raise AnsibleActionFail(f"chaos_report is {directory}: {error.strerror}") from error
        return path
