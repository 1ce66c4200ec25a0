# SPDX-License-Identifier: Apache-2.0
"""Judge on the controller what was seen of every host; print it and write it down."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils import suggest
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.security import check, checks, report
from ansible_collections.sluice.stack.plugins.plugin_utils import say

# Inputs of playbooks/checks/security.yml: a misspelt one would be a check that is quietly not made.
INPUTS = frozenset(
    f"security_{name}" for name in ("addresses", "ca", "fail_at", "lynis_index", "report", "sources", "waivers")
)


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/security_report.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("hosts", "observed_by", "waivers", "fail_at", "path", "lynis_index"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, judge, print, write."""
        result = super().run(tmp, task_vars)
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        fail_at, hosts = str(args.get("fail_at", "high")), list(args["hosts"])
        if fail_at not in check.SEVERITIES:
            raise AnsibleActionFail(f"security_fail_at is {fail_at!r}: choose one of {', '.join(check.SEVERITIES)}")
        unknown = {name for host in hosts for name in hostvars[host] if name.startswith("security_")} - INPUTS
        if unknown:
            name = min(unknown)
            raise AnsibleActionFail(f"{name} is unknown: {suggest.did_you_mean(name, INPUTS, 'security_')}")
        try:
            accepted = check.waivers(args.get("waivers") or [], checks.NAMES, list(hostvars))
        except check.WaiverError as error:
            raise AnsibleActionFail(str(error)) from error
        limits = {"lynis": int(args.get("lynis_index", 70))}
        looks = [
            look for host in hosts for look in self._looks(host, hostvars[host].get(args["observed_by"]) or {}, limits)
        ]
        today = datetime.now(UTC).date()
        judged = [check.judge(look, accepted, today) for look in [*looks, check.stale(accepted, looks, today)]]
        data = report.data(judged, fail_at, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        path = str(args.get("path") or "")
        if path:
            write_atomic(os.path.abspath(path), json.dumps(data, indent=2, ensure_ascii=False) + "\n", 0o600)
        return {
            **result,
            "changed": False,
            "checks": data["checks"],
            "counts": data["counts"],
            "message": report.verdict(judged, fail_at),
            "lines": say.show(report.lines(judged)),
        }

    @staticmethod
    def _looks(host: str, seen: dict[str, Any], limits: dict[str, int]) -> list[check.Look]:
        if "outside" not in seen:
            why = str(seen.get("msg") or "no result").removeprefix("Task failed: ")
            return checks.looks(host, None, " ".join(why.split())[:300])
        return checks.looks(host, {**seen, "limits": limits, "now": time.time()})
