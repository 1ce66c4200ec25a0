# SPDX-License-Identifier: Apache-2.0
"""Run a module of this collection on a host without Ansible's wrapper around it."""

from __future__ import annotations

import shlex
import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.plugin_utils import host_program
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

PYTHON = "/usr/bin/python3"  # Debian's


class HostModule(ActionBase):
    """The action of every host module; see docs/decisions/0007-small-host-modules.md."""

    PROGRAM: Program

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate here, run there."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        name = self.PROGRAM.name
        if self._task.async_val or not self._connection.is_pipelining_enabled():
            # As Ansible does it: slower, and it works with every connection.
            return {
                **result,
                **self._execute_module(
                    module_name=f"sluice.stack.{name}", task_vars=variables, wrap_async=self._task.async_val
                ),
            }
        settings = {key: value for key, value in self.PROGRAM.arguments.items() if key != "supports_check_mode"}
        checked = ModuleArgumentSpecValidator(**settings).validate(self._task.args)
        if checked.error_messages:
            raise AnsibleActionFail(f"{name}: {'; '.join(checked.error_messages)}")
        answer = self._low_level_execute_command(
            f"{shlex.quote(self._python(variables))} -I -S -c {shlex.quote(host_program.LOADER)}",
            in_data=self.PROGRAM.text(
                checked.validated_parameters, check_mode=self._task.check_mode, diff=self._task.diff
            ),
        )
        found = host_program.result_of(answer["stdout"])
        if found is None:
            said = (answer["stderr"] or answer["stdout"]).strip()
            found = {"failed": True, "msg": f"{name} ended with code {answer['rc']} and no result: {said[-600:]}"}
        # Like Ansible's own: what is secret in the arguments is not in what comes back, a container's log for example.
        # And when it came, by this clock: a step is done when its last host is.
        return {**result, **remove_values(found, checked._no_log_values), "ended": time.time()}

    def _python(self, variables: dict[str, Any]) -> str:
        python = self._templar.template(variables.get("ansible_python_interpreter") or "")
        return python if str(python).startswith("/") else PYTHON
