# SPDX-License-Identifier: Apache-2.0
"""Send a set of directories and files to a host in one call."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sluice.stack.plugins.modules import host_files
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program


class ActionModule(HostModule):
    """See the documentation in plugins/modules/host_files.py."""

    PROGRAM = Program(host_files)

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
            raise AnsibleActionFail(f"host_files: {name} {item.get('path')}: set one of content and src")
        if "src" not in item:
            return item
        with open(self._find_needle("files", item["src"]), encoding="utf-8") as handle:
            return {**{key: value for key, value in item.items() if key != "src"}, "content": handle.read()}
