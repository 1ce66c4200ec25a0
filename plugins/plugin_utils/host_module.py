# SPDX-License-Identifier: Apache-2.0
"""Run a module of this collection on a host without Ansible's wrapper around it.

Everything else works as with Ansible: the task's environment, the host's interpreter, become, warnings, the invocation at -vvv, and
no secrets in the result.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.executor.interpreter_discovery import discover_interpreter
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sluice.stack.plugins.plugin_utils import host_program, warm
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

# Ansible's values for interpreter discovery.
DISCOVERED = ("", "auto", "auto_silent", "auto_legacy", "auto_legacy_silent")
FACT = "discovered_interpreter_python"

# The first task on hosts imports this before its workers are forked.
warm.up()


class HostModule(ActionBase):
    """The action of every host module; see docs/decisions/0007-small-host-modules.md."""

    PROGRAM: Program

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate on the controller, run on the host."""
        result = super().run(tmp, task_vars)
        return {**result, **self.on_host(self.PROGRAM, self._task.args, task_vars or {})}

    def on_host(self, program: Program, args: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Run a module on the task's host; returns its result."""
        if self._task.async_val or not self._connection.is_pipelining_enabled():
            # Ansible's own way: slower, but works with every connection.
            return dict(
                self._execute_module(
                    module_name=f"sluice.stack.{program.name}",
                    module_args=dict(args),
                    task_vars=variables,
                    wrap_async=self._task.async_val,
                )
            )
        settings = {key: value for key, value in program.arguments.items() if key != "supports_check_mode"}
        checked = ModuleArgumentSpecValidator(**settings).validate(dict(args))
        if checked.error_messages:
            raise AnsibleActionFail(f"{program.name}: {'; '.join(checked.error_messages)}")
        python, facts = self._interpreter(variables)
        environment = self._compute_environment_string()
        answer = self._low_level_execute_command(
            f"{environment} {shlex.quote(python)} -I -S -c {shlex.quote(host_program.LOADER)}".lstrip(),
            in_data=program.text(checked.validated_parameters, check_mode=self._task.check_mode, diff=self._task.diff),
        )
        found = host_program.result_of(answer["stdout"])
        if found is None:
            output = (answer["stderr"] or answer["stdout"]).strip()
            found = {
                "failed": True,
                "msg": f"{program.name} ended with code {answer['rc']} and no result ({python}): {output[-600:]}",
            }
        if Display().verbosity >= 3:  # only where it is shown: a manifest in every result is slow
            found = {**found, "invocation": {"module_args": checked.validated_parameters}}
        # Like Ansible: remove secrets of the arguments from the result, which may contain a container's log. Add the time by
        # this clock: a step is done when its last host is.
        shown = remove_values(found, checked._no_log_values)
        if facts:
            shown["ansible_facts"] = {**shown.get("ansible_facts", {}), **facts}
        return {**shown, "ended": time.time()}

    def _interpreter(self, variables: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the host's Python, chosen like for Ansible's modules, and the fact to keep when it was discovered now."""
        if self._task.delegate_to:
            variables = variables.get("ansible_delegated_vars", {}).get(self._task.delegate_to, variables)
        setting = constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
        python = str(self._templar.template(setting) or "").strip()
        if python not in DISCOVERED:
            return python, {}
        known = variables.get("ansible_facts", {}).get(FACT)
        if known:
            return str(known), {}
        found = discover_interpreter(
            action=self, interpreter_name="python", discovery_mode=python or "auto", task_vars=variables
        )
        return str(found), {FACT: found}


class HostFilesModule(HostModule):
    """The action of modules that write a set of files: it sends the content of the controller's files instead of their names."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the controller's files, then send everything."""
        args = dict(self._task.args)
        for name in ("files", "hidden_files"):
            args[name] = [self._filled(name, item) for item in args.get(name) or []]
        self._task.args = args
        return super().run(tmp, task_vars)

    def _filled(self, name: str, item: dict[str, Any]) -> dict[str, Any]:
        """Return a file's options with its content instead of its source."""
        if ("content" in item) == ("src" in item):
            raise AnsibleActionFail(f"{self.PROGRAM.name}: {name} {item.get('path')}: set one of content and src")
        if "src" not in item:
            return item
        with open(self._find_needle("files", item["src"]), encoding="utf-8") as handle:
            return {**{key: value for key, value in item.items() if key != "src"}, "content": handle.read()}
