# SPDX-License-Identifier: Apache-2.0
"""Print the lines of a host's logs as they come, for a while."""

from __future__ import annotations

import time
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleActionFail
from ansible_collections.sluice.stack.plugins.module_utils.logs import lines
from ansible_collections.sluice.stack.plugins.modules import release_logs
from ansible_collections.sluice.stack.plugins.plugin_utils import host_module, say
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

LONGEST_SECONDS = 3600
POLL_SECONDS = 1.0
# A request is logged when it has ended, and a line of a container when its engine gets to it: look back so far each time.
OVERLAP_SECONDS = 5


class ActionModule(host_module.HostModule):
    """See the documentation in plugins/modules/logs_follow.py."""

    PROGRAM = Program(release_logs)
    _VALID_ARGS = frozenset(("app", "service", "level", "text", "regexp", "source", "roles", "seconds", "observed_by"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask each second, and print what is new."""
        result = super(host_module.HostModule, self).run(tmp, task_vars)
        args, variables = dict(self._task.args), task_vars or {}
        seconds, known = args.pop("seconds"), variables.get(args.pop("observed_by")) or {}
        try:
            end = time.monotonic() + min(float(seconds), LONGEST_SECONDS)
        except ValueError:
            raise AnsibleActionFail(
                f"logs_follow is {seconds!r}: it must be a number of seconds, at most {LONGEST_SECONDS}"
            ) from None
        hosts, forks = (
            len(variables.get("ansible_play_hosts_all") or []),
            int(context.CLIARGS.get("forks") or constants.DEFAULT_FORKS),
        )
        if hosts > forks:
            raise AnsibleActionFail(
                f"logs_follow reads {hosts} hosts at once, and Ansible only {forks}: add --forks {hosts}, or use --limit"
            )
        seen = {_key(entry) for entry in known.get("entries") or []}
        # What came while the first lines were read and shown is not lost.
        asked, looks, count = time.monotonic() - OVERLAP_SECONDS - 30, 0, 0
        while time.monotonic() < end:
            since = time.monotonic() - asked + OVERLAP_SECONDS
            asked = time.monotonic()
            answer = self.on_host(self.PROGRAM, {**args, "since": f"{since:.0f}", "lines": 1000}, variables)
            if answer.get("failed"):
                return {**result, **answer}
            new = [entry for entry in answer["entries"] if _key(entry) not in seen]
            # Only what the next answer may have again.
            seen = {_key(entry) for entry in answer["entries"]} | (seen if looks == 0 else set())
            looks, count = looks + 1, count + len(new)
            for entry in new:
                say.now(lines.shown(str(variables["inventory_hostname"]), entry))
            time.sleep(max(0.0, min(POLL_SECONDS, end - time.monotonic())))
        return {**result, "changed": False, "count": count}


def _key(entry: dict[str, str]) -> tuple[str, ...]:
    return entry["time"], entry["source"], entry["text"]
