# SPDX-License-Identifier: Apache-2.0
"""Decide on the controller which experiments are done where."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.chaos import plan
from ansible_collections.sluice.stack.plugins.module_utils.contract.environment import protected
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls
from ansible_collections.sluice.stack.plugins.plugin_utils import say
from ansible_collections.sluice.stack.plugins.plugin_utils.environment import seen

# The variables of hosts that a plan reads.
READ = (
    "ansible_host",
    "ansible_port",
    "app_secret_sources",
    "backup_repositories",
    "baseline_ssh_port",
    "edge_tls_acme_directory",
    "edge_tls_source",
    "postgres_port",
    "redis_port",
    "stack_address",
)


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/chaos_plan.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("experiment", "host", "contract", "budget", "groups", "http_port", "tls"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Refuse, or decide and print."""
        result = super().run(tmp, task_vars)
        args, variables = self._task.args, task_vars or {}
        contract, hostvars = args["contract"], variables["hostvars"]
        settings = contract["chaos"]
        if not settings["enabled"]:
            raise AnsibleActionFail(
                f"{contract['app']} has not allowed chaos experiments: set app_chaos: {{enabled: true}} in the inventory of an environment that may be "
                "harmed"
            )
        guarded = protected(seen(variables, self._templar, self._loader))
        refusal = plan.spent(contract["app"], args.get("budget") or {}) if guarded else ""
        if refusal:
            raise AnsibleActionFail(refusal)
        groups = {name: list(hosts) for name, hosts in args["groups"].items()}
        names = {host for hosts in groups.values() for host in hosts}
        fleet = plan.Fleet(
            groups, {host: {key: hostvars[host][key] for key in READ if key in hostvars[host]} for host in names}
        )
        tls = Tls(**{key: value for key, value in args["tls"].items() if key in Tls._fields})
        try:
            chosen = plan.chosen(str(args["experiment"]), settings["skip"], protected=guarded)
            found = plan.items(chosen, fleet, contract, str(args.get("host") or ""))
        except plan.ChaosError as error:
            raise AnsibleActionFail(str(error)) from error
        items = [
            {
                "experiment": one.experiment.name,
                "host": one.host,
                "promise": one.promise._asdict(),
                "skip": one.skip,
                "lease": one.experiment.lease,
                "target": one.target,
                "probes": plan.probes(
                    contract,
                    fleet,
                    tls,
                    int(args["http_port"]),
                    without=[one.host] if one.experiment.name == "edge_down" else [],
                ),
            }
            for one in found
        ]
        return {**result, "changed": False, "experiments": items, "lines": say.show(plan.lines(found))}
