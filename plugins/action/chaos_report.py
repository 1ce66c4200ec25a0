# SPDX-License-Identifier: Apache-2.0
"""Print what was promised and seen, and write it as JSON and as a page."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue, judge, report
from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Promise
from ansible_collections.sluice.stack.plugins.plugin_utils import report_files, say


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
            name = f"{found['app']}-chaos-{found['time'].replace(':', '')}"
            lines.append(report_files.write("chaos_report", directory, name, found, report.html(found)))
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
