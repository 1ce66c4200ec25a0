# SPDX-License-Identifier: Apache-2.0
"""Take an app host out of rotation, or bring it back, by the playbooks a person would use."""

from __future__ import annotations

import os
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore
from ansible_collections.sluice.stack.plugins.plugin_utils import own_command

PLAYBOOKS = {"drained": "drain", "joined": "join"}


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/host_rotation.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("host", "state"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the playbook beside the current one, else the collection's."""
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            {
                "host": {"type": "str", "required": True},
                "state": {"type": "str", "required": True, "choices": list(PLAYBOOKS)},
            }
        )
        asking = auto_restore.prompting_option(context.CLIARGS)
        if asking:
            message = f"{asking} prompts for a password, which the command to drain a host cannot: use a password file or a program"
            return {**result, "failed": True, "msg": message}
        name = PLAYBOOKS[args["state"]]
        beside = os.path.join(self._loader.get_basedir(), f"{name}.yml")
        playbook = beside if os.path.isfile(beside) else f"sluice.stack.hosts.{name}"
        code, output = own_command.run(playbook, f"playbooks/hosts/{name}.yml", ["-e", f"release_host={args['host']}"])
        if code:
            message = (
                f"{args['host']} was not {args['state']}: {name}.yml ended with exit code {code}; its output is above"
            )
            return {**result, "failed": True, "msg": message, "printed": output}
        return {**result, "changed": True, "printed": output}
