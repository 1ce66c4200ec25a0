# SPDX-License-Identifier: Apache-2.0
"""Judge the sides of a feature flag from the counts of all edges, on the controller."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log
from ansible_collections.sluice.stack.plugins.module_utils.canary import verdict as canary
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings, SettingsError
from ansible_collections.sluice.stack.plugins.module_utils.flags import rollout, sides
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/flag_verdict.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("definition", "hosts", "result", "settings", "percent", "check", "last"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Add up what the edges counted of each pair, and judge."""
        result = super().run(tmp, task_vars)
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        pairs = rollout.pairs(args["definition"])
        answers = {host: (hostvars[host].get(args["result"]) or {}) for host in args["hosts"]}
        percent = None if args.get("percent") is None else int(args["percent"])
        try:
            settings = Settings.from_data(args.get("settings") or {})
            found = [self._pair(index, len(pairs), pair, answers, settings) for index, pair in enumerate(pairs)]
        except (SettingsError, canary_log.CountsDiffer) as error:
            raise AnsibleActionFail(str(error)) from error
        if percent is None:
            # Looked at as often as one likes: only what the intervals say.
            uncounted = sorted({one for pair in found for one in pair["reasons"] if ": edge: " in one})
            found = [{**pair, "decision": "", "reasons": []} for pair in found]
            look = {"percent": None, "check": 1, "pairs": found}
            worse = [
                f"{pair['new']} {sides.say(one)}"
                for pair in found
                for one in pair["measures"]
                if one["said"] == (sides.LESS if one["name"] == sides.GOAL else sides.MORE)
            ]
            told = {"look": look, "decision": rollout.STOP if worse else rollout.GO_ON, "message": "; ".join(worse)}
            return {
                **result,
                "changed": False,
                "lines": say.show([*sides.lines(look), *(f"  {one}" for one in uncounted)]),
                **told,
            }
        look = {"percent": percent, "check": int(args.get("check", 1)), "pairs": found}
        two_sides = rollout.comparable(args["definition"], percent)
        decision = rollout.decide(found, two_sides=two_sides, last=bool(args.get("last", True)))
        reasons = [
            f"{pair['new']} against {pair['old']}: {reason}"
            for pair in found
            for reason in pair["reasons"]
            if two_sides or not reason.startswith(canary.INCONCLUSIVE)
        ]
        lines = [f"  {percent:>3} %      {reason}" for reason in reasons]
        against = {rollout.REVERT: canary.FAIL, rollout.STOP: canary.INCONCLUSIVE}.get(decision, "")
        why = [one for one in reasons if against and f": {against}: " in one]
        return {
            **result,
            "changed": False,
            "lines": say.show(lines),
            "look": look,
            "decision": decision,
            "message": "; ".join(why),
        }

    @staticmethod
    def _pair(
        index: int, pairs: int, pair: dict[str, str], answers: dict[str, dict[str, Any]], settings: Settings
    ) -> dict[str, Any]:
        counted, missing = [], {}
        for host, answer in answers.items():
            own = (answer.get("results") or [])[index : index + 1]
            if own and "counts" in own[0]:
                counted.append(own[0]["counts"])
            else:
                said = own[0].get("msg") if own else answer.get("msg")
                missing[host] = str(said or "no result").removeprefix("Task failed: ")
        counts = canary_log.add(counted) if counted else None
        verdict = canary.judge(counts, settings, missing, (pair["new"], pair["old"]))
        return {
            **pair,
            **verdict,
            "measures": sides.measured(counts, pairs, settings) if counts else [],
            "series": sides.series(counts) if counts else [],
        }
