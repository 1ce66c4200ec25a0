# SPDX-License-Identifier: Apache-2.0
"""Make the plan on the controller from every host's observation, and print it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls
from ansible_collections.sluice.stack.plugins.module_utils.plan import plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.plugin_utils import say

# The steps that run in check mode: they check, and change nothing.
LOOKS = ("pending", "schema_check", "rollback_check", "restore_point")
# The range of container networks where a host sets none, as in the role docker_host.
CONTAINERS = "172.20.0.0/14"
# The plan when it was refused.
NO_PLAN: dict[str, Any] = {
    "status": "refused",
    "targets": {},
    "steps": [],
    "token": 0,
    "flip": [],
    "excluded": [],
    "lines": [],
    "live": None,
}


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_plan.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(
        (
            "contract",
            "secrets",
            "accesses",
            "run",
            "edges",
            "apps",
            "excluded",
            "release_to",
            "host",
            "http_port",
            "tls",
            "database",
            "allow_destructive",
            "data",
            "reverted",
            "rotate",
            "steps",
            "gates",
            "observed_by",
            "verdict",
        )
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Decide, print, return."""
        result = {**super().run(tmp, task_vars), "changed": False}
        variables, args = task_vars or {}, self._task.args
        verdict, gates = args["verdict"], args.get("gates") or {}
        if not verdict["ok"]:
            return {**result, "plan": NO_PLAN, "verdict": verdict}
        hostvars = variables["hostvars"]
        hosts = {*args["edges"], *args["apps"]} - {*args["excluded"], *verdict["unreachable"]}
        desired = plans.Desired(
            action=args["run"]["action"],
            contract=contracts.with_read(args["contract"], args.get("secrets") or {}),
            addresses={host: self._address(hostvars[host], host) for host in args["apps"]},
            edges=args["edges"],
            apps=args["apps"],
            now=datetime.now(UTC),
            excluded=frozenset(args["excluded"]),
            unreachable=frozenset(verdict["unreachable"]),
            release_to=args.get("release_to") or None,
            host=args.get("host") or None,
            http_port=int(args["http_port"]),
            tls=self._tls(args.get("tls") or {}),
            age=time.time() - verdict["times"][0][1],
            database=args["database"],
            allow_destructive=bool(args.get("allow_destructive", False)),
            data=args.get("data") or args["contract"]["rollback"]["data"],
            reverted=args.get("reverted") or None,
            rotate=args.get("rotate") or (),
        )
        try:
            observed = {host: hostvars[host][args["observed_by"]]["observation"] for host in hosts}
            plan = plans.decide(desired, observed)
            plan["steps"] = plans.in_order(plan["steps"], args["steps"])
            if desired.action == "deploy" and args["contract"]["gates"]:
                self._gated(plan, gates)
            if plan["rehearse"]:
                plan["rehearse"] |= self._copy(plan["rehearse"], hostvars)
        except plans.PlanError as error:
            return {**result, "plan": NO_PLAN, "verdict": {**verdict, "ok": False, "message": str(error)}}
        say.show(plan["lines"], "bright blue")
        now = desired.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        plan["started_entry"] = ledger.entry(
            "started",
            token=plan["token"],
            time=now,
            run=args["run"],
            manifest=plan["manifest"],
            previous=plan["previous"],
            revert=plan["to_revert"],
            without=plan["excluded"],
            superseded=sorted({run for item in observed.values() for run in item["superseded"]}),
            **({"waived": gates["waived"]} if gates.get("waived") else {}),
            **{kind: done for kind, done in (args.get("accesses") or {}).items() if done},
        )
        changed = plan["status"] != "nothing"
        if self._task.check_mode:
            # Nothing was fenced, but read-only steps can run.
            # One that needs a secret which its host would have to fetch cannot.
            plan["targets"] = {
                step: hosts
                for step, hosts in plan["targets"].items()
                if step in LOOKS and not set(hosts) & set(plan["fetch"])
            }
            plan["steps"] = list(plan["targets"])
        return {**result, "changed": changed, "plan": plan, "verdict": verdict}

    @staticmethod
    def _gated(plan: dict[str, Any], judged: Mapping[str, Any]) -> None:
        """Print what the gates said with the plan. Raises PlanError when they said it of something else."""
        from ansible_collections.sluice.stack.plugins.module_utils.gates import registry, signature  # noqa: PLC0415 - only where there are gates

        if "checks" not in judged:
            raise plans.PlanError("the gates of app_gates were not judged: run deploy.yml whole")
        moved = signature.moved(judged["images"], plan["manifest"])
        if moved:
            raise plans.PlanError(moved)
        plan["lines"] = [*plan["lines"][:1], *registry.plan_lines(judged["checks"]), *plan["lines"][1:]]

    @staticmethod
    def _address(variables: Any, host: str) -> str:
        """Return the private address of a host, which the edges use."""
        return str(variables.get("stack_address") or variables.get("ansible_host") or host)

    @staticmethod
    def _tls(given: Mapping[str, Any]) -> Tls:
        """Return the edges' TLS; values of ``-e`` are text."""
        http3 = boolean(given.get("http3", False))
        return Tls(int(given.get("port", 0)), http3, str(given.get("source", "acme")), given.get("hosts") or {})

    def _copy(self, rehearse: Mapping[str, Any], hostvars: Any) -> dict[str, Any]:
        """Return where the copy of the database listens, and its clients: the migrating host, or its containers on the same host."""
        database, migrating = rehearse["host"], rehearse["on"]
        pool = str(hostvars[migrating].get("docker_host_address_pool") or CONTAINERS)
        client = self._address(hostvars[migrating], migrating)
        single = f"{client}/{128 if ':' in client else 32}"
        return {
            "address": self._address(hostvars[database], database),
            "clients": [pool if database == migrating else single],
        }
