# SPDX-License-Identifier: Apache-2.0
"""Make the plan on the controller, from what every host observed, and print it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sluice.stack.plugins.module_utils import ledger
from ansible_collections.sluice.stack.plugins.module_utils import plan as plans

# What the steps ask of a plan; a plan that was refused, or none, has nothing in any of them.
NO_STEPS: dict[str, Any] = {
    key: [] for key in ("abandon", "converge", "start", "configure", "configure_after", "flip", "lost", "lines")
} | {"migrate": None, "retire": None, "token": 0, "status": "refused", "manifest": {}, "slot": "blue", "live": None}


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_plan.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        ("contract", "run", "edges", "apps", "lost", "release_to", "http_port", "observed_by", "verdict")
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Decide, print, return."""
        result = {**super().run(tmp, task_vars), "changed": False}
        variables, args = task_vars or {}, self._task.args
        verdict = args["verdict"]
        if not verdict["ok"]:
            return {**result, "plan": NO_STEPS, "verdict": verdict}
        hostvars = variables["hostvars"]
        hosts = {*args["edges"], *args["apps"]} - {*args["lost"], *verdict["silent"]}
        wish = plans.Wish(
            action=args["run"]["action"],
            contract=args["contract"],
            addresses={host: self._address(hostvars[host], host) for host in args["apps"]},
            edges=args["edges"],
            apps=args["apps"],
            now=datetime.now(UTC),
            lost=frozenset(args["lost"]),
            silent=frozenset(verdict["silent"]),
            release_to=args.get("release_to") or None,
            http_port=int(args["http_port"]),
        )
        try:
            plan = plans.decide(wish, {host: hostvars[host][args["observed_by"]]["observation"] for host in hosts})
        except plans.PlanError as error:
            return {**result, "plan": NO_STEPS, "verdict": {**verdict, "ok": False, "go": False, "message": str(error)}}
        for line in plan["lines"]:
            Display().display(line, color="bright blue")
        now = wish.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        plan["started_entry"] = ledger.entry(
            "started", token=plan["token"], time=now, run=args["run"], manifest=plan["manifest"]
        )
        go = plan["status"] != "nothing" and not self._task.check_mode
        return {**result, "changed": plan["status"] != "nothing", "plan": plan, "verdict": {**verdict, "go": go}}

    @staticmethod
    def _address(variables: Any, host: str) -> str:
        """The private address of a host: where the edges reach it."""
        return str(variables.get("stack_address") or variables.get("ansible_host") or host)
