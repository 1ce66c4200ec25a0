# SPDX-License-Identifier: Apache-2.0
"""Judge the previews that are up: whether there may be one more, and which are too old. Those are taken away by the command for one."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.contract.preview import expired
from ansible_collections.sluice.stack.plugins.plugin_utils import own_command, say


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/preview_expired.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("listed_by", "settings", "number", "remove"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Gather, judge, print, remove."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        used: dict[int, float] = {}
        for host in hostvars:
            for number, at in (hostvars[host].get(args["listed_by"]) or {}).get("previews", {}).items():
                used[int(number)] = max(float(at), used.get(int(number), 0.0))
        settings, number = args["settings"], args.get("number")
        if number is not None:
            others = sorted({*used} - {int(number)})
            if len(others) >= int(settings["most"]):
                raise AnsibleActionFail(
                    f"{len(others)} previews are up ({', '.join(map(str, others))}), as many as app_preview.most allows: take one away with "
                    "-e preview=NUMBER -e state=absent"
                )
            return result
        now = time.time()
        old = expired(used, now, float(settings["max_age_days"]))
        lines = [
            f"preview {one}  last deployed {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC{', expired' if one in old else ''}"
            for one, at in sorted(used.items())
        ]
        result |= {"previews": sorted(used), "expired": old, "lines": say.show(lines or ["no previews are up"])}
        return {**result, **self._remove(old)} if args.get("remove") and not self._task.check_mode else result

    def _remove(self, numbers: list[int]) -> dict[str, Any]:
        """Take each away by the command that a person would use; one that fails does not keep the others."""
        beside = os.path.join(self._loader.get_basedir(), "..", "preview.yml")
        playbook = os.path.normpath(beside) if os.path.isfile(beside) else "sluice.stack.preview"
        failed = []
        for number in numbers:
            # This run says `state=expired`, which would be the same run again.
            wanted = ["-e", f"preview={number} state=absent"]
            code, _unused = own_command.run(playbook, "playbooks/preview.yml", [], wanted)
            if code:
                failed.append(str(number))
        if failed:
            return {"failed": True, "msg": f"previews {', '.join(failed)} were not taken away; the output is above"}
        return {"changed": bool(numbers)}
