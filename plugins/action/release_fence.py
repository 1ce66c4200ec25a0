# SPDX-License-Identifier: Apache-2.0
"""Fence a host, waiting if configured, and renew the lease as long as this command lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.modules import release_fence, release_lease
from ansible_collections.sluice.stack.plugins.plugin_utils import heartbeat
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

WAIT_POLL_SECONDS = 1.0


class ActionModule(HostModule):
    """See the documentation in plugins/modules/release_fence.py."""

    PROGRAM = Program(release_fence)
    LEASE = Program(release_lease)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Retry until the host is fenced, or the time to wait is over."""
        begin = time.monotonic()
        controller = heartbeat.controller()
        if self._task.args.get("state", "fenced") != "fenced" or self._task.check_mode:
            return super().run(tmp, task_vars)
        fenced = self._keep_alive(controller, task_vars or {})
        result = super().run(tmp, task_vars)
        wait = float(self._task.args.get("wait_seconds") or 0)
        # A controller that died meanwhile must not take the lease.
        while result.get("held") and time.monotonic() - begin < wait and not controller.ended(WAIT_POLL_SECONDS):
            result = super().run(tmp, task_vars)
        fenced("observation" in result)
        return result

    def _keep_alive(self, controller: heartbeat.Controller, variables: dict[str, Any]) -> Callable[[bool], None]:
        """Start the heartbeat; before the fence, since the worker may be killed during it."""
        args = self._task.args
        seconds = float(
            args.get("lease_seconds") or release_fence.ARGUMENTS["argument_spec"]["lease_seconds"]["default"]
        )
        lease = {"app": args["app"], "run_id": args["run"]["id"], "lease_seconds": seconds}

        def update(state: str) -> dict[str, Any]:
            return self.on_host(self.LEASE, {**lease, "state": state}, variables)

        return heartbeat.begin(controller, update, seconds / 3)
