# SPDX-License-Identifier: Apache-2.0
"""Run rollback.yml to restore the data of a failed release, with the options of this run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import environment
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore
from ansible_collections.sluice.stack.plugins.plugin_utils import environment as confirmation
from ansible_collections.sluice.stack.plugins.plugin_utils import own_command


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_restore.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("release",))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the command, and stream its output."""
        result = super().run(tmp, task_vars)
        playbook = _rollback(context.CLIARGS["args"])
        given = confirmation.seen(task_vars or {}, self._templar, self._loader)
        confirmed = str(given["environment_name"]) if environment.protected(given) else ""
        options = auto_restore.options(self._task.args["release"], confirmed)
        code, output = own_command.run(playbook, "rollback.yml", options)
        if code:
            message = f"rollback.yml ended with exit code {code}; its output is above"
            return {**result, "failed": True, "msg": message, "printed": output}
        return {**result, "changed": True, "printed": output}


def _rollback(playbooks: Sequence[str]) -> str:
    """Return the rollback.yml next to the running deploy.yml, where its variables are, too; else the collection's."""
    for playbook in playbooks:
        folder, name = os.path.split(playbook)
        alongside = os.path.join(folder, "rollback.yml")
        if name == "deploy.yml" and os.path.isfile(alongside):
            return alongside
    return "sluice.stack.rollback"
