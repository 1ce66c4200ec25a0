# SPDX-License-Identifier: Apache-2.0
"""Change who may enter a host, and keep the change only when a new connection to it works."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.sluice.stack.plugins.modules import host_access
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostFilesModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

# Before the host's timer ends there is no more confirming; some time after it, the host is back.
BEFORE_SECONDS, AFTER_SECONDS = 5.0, 45.0
POLL_SECONDS = 3.0


class ActionModule(HostFilesModule):
    """See the documentation in plugins/modules/host_access.py."""

    PROGRAM = Program(host_access)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Change, then confirm over a new connection."""
        variables = task_vars or {}
        token = uuid.uuid4().hex
        self._task.args = {**self._task.args, "token": token}
        result = super().run(tmp, variables)
        if result.get("failed") or not result.get("changed") or self._task.check_mode:
            return result
        began, seconds = time.monotonic(), int(self._task.args.get("seconds", 60))
        problem = self._until(began + seconds - BEFORE_SECONDS, "confirmed", token, variables)
        if problem is None:
            return result
        back = self._until(began + seconds + AFTER_SECONDS, "asked", token, variables)
        return {
            **result,
            "failed": True,
            "msg": f"{variables.get('inventory_hostname', '?')}: the change of {summary(result['changes'])} shut the controller out, so "
            + (
                "the host undid it"
                if back is None
                else f"the host should have undone it after {seconds} s, but does not answer"
            )
            + f". A new connection failed with: {problem}",
        }

    def _until(self, deadline: float, state: str, token: str, variables: dict[str, Any]) -> str | None:
        """Ask over new connections until the host answers as expected; returns None, or the last problem at the deadline."""
        while True:
            problem = self._asked(state, token, variables)
            if problem is None:
                return None
            if time.monotonic() >= deadline:
                return problem
            time.sleep(POLL_SECONDS)

    def _asked(self, state: str, token: str, variables: dict[str, Any]) -> str | None:
        """Open a new connection and ask once; returns None, or the problem."""
        try:
            self._connection.reset()
            answer = self.on_host(self.PROGRAM, {"state": state, "token": token}, variables)
        except AnsibleConnectionFailure as error:
            return " ".join(str(error).split())[-300:]
        if answer.get("failed"):
            return " ".join(str(answer.get("msg")).split())[-300:]
        if state == "confirmed":
            return None if answer["confirmed"] else "the host had undone it already"
        return "it is not undone yet" if answer["pending"] else None


def summary(changes: list[str]) -> str:
    """Return the changed paths in one line."""
    return ", ".join(line.partition(": ")[0] for line in changes)
