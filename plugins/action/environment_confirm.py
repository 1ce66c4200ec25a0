# SPDX-License-Identifier: Apache-2.0
"""Refuse what may harm a protected environment whose name was not typed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import environment
from ansible_collections.sluice.stack.plugins.plugin_utils.environment import seen


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/environment_confirm.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("action",))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge."""
        result = {**super().run(tmp, task_vars), "changed": False}
        variables = seen(task_vars or {}, self._templar, self._loader)
        refusal = environment.confirmed_environment(variables, str(self._task.args["action"]))
        return {**result, "failed": True, "msg": refusal} if refusal else result
