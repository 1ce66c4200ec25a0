# SPDX-License-Identifier: Apache-2.0
"""Gather facts from a host, unless it is the machine that runs Ansible."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.sluice.stack.plugins.module_utils import machine
from ansible_collections.sluice.stack.plugins.modules import host_facts
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program


class ActionModule(HostModule):
    """See the documentation in plugins/modules/host_facts.py."""

    PROGRAM = Program(host_facts)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Refuse a local connection without contacting anything, then compare the host's identity with this machine."""
        variables = task_vars or {}
        allowed = boolean(self._templar.template(variables.get("provision_controller", False)), strict=False)
        host = variables.get("inventory_hostname", "?")
        if self._connection.transport == "local" and not allowed:
            return refusal(host, "its connection is local")
        if not boolean(self._task.args.get("contact", True)):
            return {"changed": False}
        before = time.time()
        result = super().run(tmp, variables)
        if "clock" in result:
            result["ansible_facts"]["clock_skew"] = machine.skew(before, result["clock"], time.time())
        if not allowed and machine.same(result.get("machine") or {}, machine.identity()):
            address = self._templar.template(variables.get("ansible_host") or host)
            return refusal(host, f"{address} is this machine (same machine id, boot id and host name)")
        return result


def refusal(host: str, why: str) -> dict[str, Any]:
    """Return the result of a task that refuses the controller, in one line."""
    return {
        "failed": True,
        "msg": f"{host} is the machine that runs Ansible: {why}. Nothing was changed; correct the inventory, or allow it with "
        "-e provision_controller=true",
    }
