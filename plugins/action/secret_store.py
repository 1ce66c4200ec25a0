# SPDX-License-Identifier: Apache-2.0
"""Write a new value of a secret to where it is kept, on the controller."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.plugin_utils import secret_sources


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/secret_store.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("references", "sources", "values", "expected"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write them, or fail with one line that has no value."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args = self._task.args
        if self._task.check_mode:
            return {**result, "changed": True}
        settings = secret_reference.SOURCES.read(args.get("sources") or {}, "app_secret_sources", Problems())
        folder = str((task_vars or {}).get("inventory_dir") or os.getcwd())
        around = secret_sources.Surroundings(self._loader, self._templar, folder)
        begin, written = _now(), {}
        expected = dict(args.get("expected") or {})
        for name, value in args["values"].items():
            reference = args["references"][name]
            try:
                version = secret_sources.write(reference, settings, around, value, str(expected.get(name) or ""))
            except secret_sources.SecretError as error:
                source = secret_reference.source_of(reference)
                return {**result, "failed": True, "msg": f"{name} cannot be written to {source}: {error}"}
            written[name] = secret_reference.described(reference, version)
            # Others at the same place have the same version.
            expected |= {one: version for one in args["values"] if _same_place(args["references"][one], reference)}
        return {
            **result,
            "changed": True,
            "at": {"from": begin, "to": _now()},
            "written": written,
            "_ansible_no_log": True,
        }


def _same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {**one, "key": None} == {**other, "key": None}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
