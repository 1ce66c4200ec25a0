# SPDX-License-Identifier: Apache-2.0
"""Have rollback.yml take the data of a release back that failed, with the options of this run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sluice.stack.plugins.module_utils.plan import auto_restore


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_restore.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("release",))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Type the command, and show what it says while it says it."""
        result = super().run(tmp, task_vars)
        playbooks = context.CLIARGS["args"]
        release = self._task.args["release"]
        summary = auto_restore.command(sys.argv, playbooks, _rollback(playbooks), release)
        display = Display()
        display.display(
            f"$ ansible-playbook rollback.yml {' '.join(auto_restore.options(release))}", color="bright blue"
        )
        process = subprocess.Popen(
            [sys.executable, *summary],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        for line in process.stdout or ():
            display.display(line.rstrip("\n"))
        code = process.wait()
        if code:
            return {**result, "failed": True, "msg": f"rollback.yml ended with exit code {code}; what it said is above"}
        return {**result, "changed": True}


def _rollback(playbooks: Sequence[str]) -> str:
    """The rollback.yml beside the deploy.yml that runs, where its variables lie, too; else the collection's."""
    for playbook in playbooks:
        folder, name = os.path.split(playbook)
        alongside = os.path.join(folder, "rollback.yml")
        if name == "deploy.yml" and os.path.isfile(alongside):
            return alongside
    return "sluice.stack.rollback"
