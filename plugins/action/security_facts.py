# SPDX-License-Identifier: Apache-2.0
"""Read a host's security from inside, then from here."""

from __future__ import annotations

from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.security import declared, outside
from ansible_collections.sluice.stack.plugins.modules import security_facts
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

DEFAULTS = {name: option.get("default") for name, option in security_facts.ARGUMENTS["argument_spec"].items()}


class ActionModule(HostModule):
    """See the documentation in plugins/modules/security_facts.py."""

    PROGRAM = Program(security_facts)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the host, then look at what it shows."""
        asked = {**DEFAULTS, **self._task.args}
        asked |= {name: int(asked[name]) for name in ("ssh_port", "http_port")}
        # Some of the others hold keys of certificates, and the host needs none.
        self._task.args = {"address": asked["address"]}
        result = super().run(tmp, task_vars)
        if result.get("failed"):
            return result
        tried = declared.to_try(
            declared.rules(asked["rules"]), outside.listening(result["host"]), never=[asked["ssh_port"]]
        )
        return {**result, "outside": outside.look(asked, result["host"], tried), "declared": asked["rules"]}
