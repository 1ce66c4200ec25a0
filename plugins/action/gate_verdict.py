# SPDX-License-Identifier: Apache-2.0
"""Judge the gates of a deploy, or a checklist, on the controller."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.gates import registry
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import firing
from ansible_collections.sluice.stack.plugins.plugin_utils import gate_evidence, say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/gate_verdict.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("contract", "gates", "checklist", "json_file", "edges", "apps", "database", "observed_by"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, judge, print."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, checklist = self._task.args, self._task.args.get("checklist") or ""
        asked = args["gates"]["asked"]
        facts = self._facts(args, {one["name"]: one["options"] or {} for one in asked}, (task_vars or {})["hostvars"])
        results, used = registry.judge(facts, asked, args["gates"]["waivers"])
        result |= {
            "checks": [asdict(one) for one in results],
            "open": [one.name for one in results if not one.passes],
            "waived": [{**one, "until": registry.day(one)} for one in used],
            "images": {reference: {"digest": found.get("digest", "")} for reference, found in facts.images.items()},
        }
        why = registry.refusal(results)
        if not checklist:
            # In check mode the plan shows them, and goes on.
            return (
                {**result, "failed": True, "msg": f"deploy refused: {why}"}
                if why and not self._task.check_mode
                else result
            )
        if args.get("json_file"):
            data = {
                "checklist": checklist,
                "app": facts.app,
                "version": facts.version,
                "environment": facts.environment,
                "checks": result["checks"],
            }
            try:
                with open(args["json_file"], "w", encoding="utf-8") as file:
                    file.write(json.dumps(data, indent=2) + "\n")
            except OSError as error:
                return {
                    **result,
                    "failed": True,
                    "msg": f"checklist_json {args['json_file']} cannot be written: {error}",
                }
        result["lines"] = say.show(registry.lines(results))
        return result

    def _facts(self, args: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]], hostvars: Any) -> Facts:
        """Gather everything the gates are judged by, once."""
        contract, hosts, unanswered = args["contract"], {}, {}
        for host in sorted(hostvars):
            answer = hostvars[host].get(args["observed_by"]) or {"skipped": True}
            if "facts" in answer:
                hosts[host] = answer["facts"]
            elif not answer.get("skipped"):
                unanswered[host] = str(answer.get("msg", "it was not asked")).removeprefix("Task failed: ")
        url = options.get("alerts", {}).get("url", "")
        # Any of the monitoring hosts that answered.
        monitoring: Mapping[str, Any] = next(
            (found["monitoring"] for found in hosts.values() if found.get("monitoring")), {}
        )
        keys = options.get("approval", {}).get("keys", [])
        return Facts(
            now=time.time(),
            app=contract["app"],
            version=contract["version"],
            environment=contract["environment"],
            flags=contract["flags_in_code"],
            migration=bool(contract["migration"]),
            rehearses=contract["rehearsal"]["in_deploy"],
            evidence=gate_evidence.read(contract["gate_evidence"], contract["app"], keys),
            edges=args["edges"],
            apps=args["apps"],
            database=args["database"]["host"],
            engine=args["database"]["engine"],
            hosts=hosts,
            unanswered=unanswered,
            images=next((found["images"] for found in hosts.values() if found.get("images")), {}),
            public_keys=(contract["signature"] or {}).get("keys", []),
            alerts=firing.alerts(url) if url else monitoring.get("alerts", {}),
            budgets=monitoring.get("budgets", {}),
        )
