# SPDX-License-Identifier: Apache-2.0
"""Begin a run that is no release, so that it has a report and notices."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.plugin_utils import identity


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/run_begin.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("action", "subject", "reason"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Identify the run."""
        result = super().run(tmp, task_vars)
        args = self._task.args
        run = identity.run(args["action"], self._loader.get_basedir(), str(args.get("reason") or ""))
        return {**result, "changed": False, "run": run, "subject": args["subject"]}
