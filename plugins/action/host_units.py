# SPDX-License-Identifier: Apache-2.0
"""Start and enable units of systemd; its module only runs for those that are not."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase

PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload")


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/host_units.py."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("name", "started", "enabled"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Query systemd first."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            {
                "name": {"type": "list", "elements": "str", "required": True},
                "started": {"type": "bool", "default": True},
                "enabled": {"type": "bool", "default": True},
            }
        )
        answer = self._low_level_execute_command(
            f"systemctl show --property={','.join(PROPERTIES)} -- {shlex.join(args['name'])}"
        )
        units = parsed(answer["stdout"])
        result |= {"changed": False, "units": []}
        for name in args["name"]:
            unit = units.get(name, {})
            if as_desired(unit, started=args["started"], enabled=args["enabled"]):
                continue
            result["units"].append(name)
            # A unit that is not installed has no more properties.
            if self._task.check_mode and unit.get("LoadState") == "not-found":
                result["changed"] = True
                continue
            done = self._execute_module(
                module_name="ansible.builtin.systemd_service",
                module_args={
                    "name": name,
                    "daemon_reload": unit.get("NeedDaemonReload") == "yes",
                    **({"enabled": True} if args["enabled"] else {}),
                    **({"state": "started"} if args["started"] else {}),
                },
                task_vars=task_vars,
            )
            if done.get("failed"):
                return {**result, **done, "msg": f"{name}: {done.get('msg', '')}"}
            result["changed"] = result["changed"] or bool(done.get("changed"))
        return result


def parsed(output: str) -> dict[str, dict[str, str]]:
    """Parse the properties of each unit by name from the output of systemctl show."""
    # A terminal adds carriage returns.
    parts = "\n".join(output.splitlines()).split("\n\n")
    blocks = (dict(line.split("=", 1) for line in part.splitlines() if "=" in line) for part in parts)
    return {block["Id"]: block for block in blocks if "Id" in block}


def as_desired(unit: dict[str, str], *, started: bool, enabled: bool) -> bool:
    """Return whether a unit runs and is enabled as desired, with its current file loaded."""
    return (
        unit.get("LoadState") == "loaded"
        and unit.get("NeedDaemonReload") == "no"
        and (not started or unit.get("ActiveState") in ("active", "reloading"))
        and (not enabled or unit.get("UnitFileState") == "enabled")
    )
