# SPDX-License-Identifier: Apache-2.0
"""Compare the stores' logs with the ledgers, on the controller, and print who read or changed the app's secrets."""

from __future__ import annotations

import glob
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.rotation import audit, store_logs
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/secret_audit.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        (
            "references",
            "sources",
            "hosts",
            "observed_by",
            "vault_log",
            "vault_lines",
            "cloudtrail",
            "known",
            "days",
            "skew_seconds",
        )
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read, compare, print."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        settings = secret_reference.SOURCES.read(args.get("sources") or {}, "app_secret_sources", Problems())
        paths, names = store_logs.places(args["references"], (settings.get("vault") or {"mount": "secret"})["mount"])
        events = []
        try:
            if args.get("vault_log"):
                with open(args["vault_log"], encoding="utf-8", errors="replace") as handle:
                    events += store_logs.vault(handle, paths)
            events += store_logs.vault(args.get("vault_lines") or [], paths)
            for path in sorted(glob.glob(os.path.expanduser(args.get("cloudtrail") or ""))):
                with open(path, encoding="utf-8") as handle:
                    events += store_logs.cloudtrail(handle.read(), names)
        except OSError as error:
            return {**result, "failed": True, "msg": f"{error.filename}: {error.strerror}"}
        except store_logs.LogError as error:
            return {**result, "failed": True, "msg": str(error)}
        answers = [hostvars[host].get(args["observed_by"]) or {} for host in args["hosts"]]
        history = ledger.merge_texts(answer["observation"]["ledger"] for answer in answers if "observation" in answer)
        days = float(args.get("days") or 0)
        report = audit.compare(
            events,
            audit.recorded([*history.past, *history.entries]),
            args.get("known") or [],
            float(args.get("skew_seconds") or 0),
            datetime.now(UTC) - timedelta(days=days) if days else None,
        )
        return {
            **result,
            "lines": say.show(audit.table(report)),
            "events": len(report.lines),
            "unknown": [f"{line.event.who} from {line.event.address}" for line in report.unknown],
            "missing": len(report.missing),
        }
