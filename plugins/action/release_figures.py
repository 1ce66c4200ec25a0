# SPDX-License-Identifier: Apache-2.0
"""Print the figures of an app's releases, and write them as JSON and as a page."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.events import figures_page
from ansible_collections.sluice.stack.plugins.module_utils.release import figures, ledger
from ansible_collections.sluice.stack.plugins.plugin_utils import report_files, say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_figures.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("app", "hosts", "observed_by", "days", "directory"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Merge the hosts' ledgers, add up, write, print."""
        result = super().run(tmp, task_vars)
        args = self._task.args
        days = _days(args.get("days", 90))
        hostvars = (task_vars or {})["hostvars"]
        answers = {host: hostvars[host].get(args["observed_by"]) or {} for host in args["hosts"]}
        copies = [answer["observation"]["ledger"] for answer in answers.values() if "observation" in answer]
        if not copies:
            raise AnsibleActionFail(f"no host of {args['app']} answered, and its history is on them")
        data = figures.figures(args["app"], ledger.merge_texts(copies), datetime.now(UTC), days)
        lines = figures.lines(data)
        directory = os.path.expanduser(str(args.get("directory", "reports")))
        if directory and not self._task.check_mode:
            name = f"{data['app']}-releases"
            lines.append(report_files.write("report_directory", directory, name, data, figures_page.html(data)))
        silent = sorted(host for host, answer in answers.items() if "observation" not in answer)
        lines += [f"  without {', '.join(silent)}, which did not answer"] if silent else []
        return {**result, "changed": False, "figures": data, "lines": say.show(lines)}


def _days(given: Any) -> float:
    """Return the number of days; raises AnsibleActionFail."""
    try:
        days = float(given)
    except (TypeError, ValueError):
        days = 0.0
    if not 0 < days <= 3660:
        raise AnsibleActionFail(f"report_days is {given}: give a number of days above 0, such as -e report_days=90")
    return days
