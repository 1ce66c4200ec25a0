# SPDX-License-Identifier: Apache-2.0
"""Read the secrets of an app that are kept elsewhere, on the controller."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract import secret_reference
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version, unseen_version
from ansible_collections.sluice.stack.plugins.plugin_utils import secret_sources


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/release_secrets.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("app", "references", "sources"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read all of them, or fail with a line for each that cannot be read."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, variables = self._task.args, task_vars or {}
        named: Mapping[str, Any] = args["references"]
        problems = Problems()
        settings = secret_reference.SOURCES.read(args.get("sources") or {}, "app_secret_sources", problems)
        if problems.lines:
            return {**result, "failed": True, "msg": "\n".join(problems.lines)}
        folder = variables.get("inventory_dir") or os.getcwd()
        around = secret_sources.Surroundings(self._loader, self._templar, str(folder))
        begin = _now()
        secrets, lines = secret_sources.read(named, settings, around)
        if lines:
            return {**result, "failed": True, "msg": "\n".join(lines)}
        described = {name: secret_reference.described(named[name], one.version) for name, one in secrets.items()}
        places = {name: secret_reference.pinned(named[name], one.version, settings) for name, one in secrets.items()}
        unseen = [name for name in secrets if secret_reference.by_host(named[name], settings)]
        values = {name: one.value for name, one in secrets.items() if name not in unseen}
        versions = {name: secret_version(args["app"], name, value) for name, value in values.items()}
        for name in unseen:
            place = secret_reference.described(places[name] or {})
            versions[name] = unseen_version(args["app"], name, place, secrets[name].created)
        return {
            **result,
            "secrets": values,
            "versions": versions,
            "described": described,
            "places": {name: place for name, place in places.items() if place},
            "unseen": unseen,
            "read": {name: described[name] for name in values},
            "at": {"from": begin, "to": _now()},
            "source_versions": {name: secret.version for name, secret in secrets.items()},
            # Callbacks, and so every output, get a result without the values; a failure has none, and is shown.
            "_ansible_no_log": True,
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
