# SPDX-License-Identifier: Apache-2.0
"""Write a new value of a secret to where it is kept, on the controller."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.plugin_utils import secret_sources


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/secret_store.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("name", "reference", "sources", "value", "expected"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write it, or fail with one line that has no value."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args = self._task.args
        reference = args["reference"]
        if self._task.check_mode:
            return {**result, "changed": True}
        settings = secret_reference.SOURCES.read(args.get("sources") or {}, "app_secret_sources", Problems())
        folder = str((task_vars or {}).get("inventory_dir") or os.getcwd())
        around = secret_sources.Surroundings(self._loader, self._templar, folder)
        try:
            version = secret_sources.write(reference, settings, around, args["value"], str(args.get("expected") or ""))
        except secret_sources.SecretError as error:
            source = secret_reference.source_of(reference)
            return {**result, "failed": True, "msg": f"{args['name']} cannot be written to {source}: {error}"}
        return {
            **result,
            "changed": True,
            "written": secret_reference.described(reference, version),
            "_ansible_no_log": True,
        }
