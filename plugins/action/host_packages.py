# SPDX-License-Identifier: Apache-2.0
"""Install packages on a Debian host; apt only runs when one is missing."""

from __future__ import annotations

import re
import shlex
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/host_packages.py."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("name", "cache_valid_time"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Query dpkg first."""
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            {
                "name": {"type": "list", "elements": "str", "required": True},
                "cache_valid_time": {"type": "int", "default": 3600},
            }
        )
        names = list(dict.fromkeys(args["name"]))
        answer = self._low_level_execute_command(
            "dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\\n' -- " + shlex.join(names)
        )
        whole = installed(answer["stdout"])
        missing = [name for name in names if name not in whole]
        if not missing:
            return {**result, "changed": False, "missing": []}
        apt = {
            "name": missing,
            "install_recommends": False,
            "update_cache": True,
            "cache_valid_time": args["cache_valid_time"],
        }
        done = self._execute_module(module_name="ansible.builtin.apt", module_args=apt, task_vars=task_vars)
        return {**result, **done, "missing": missing}


def installed(output: str) -> set[str]:
    """Parse the fully installed packages from dpkg-query's output; a name with a version or release never matches."""
    return set(re.findall(r"(?m)^[ihp]i  (\S+)\s*$", output))  # a terminal adds carriage returns
