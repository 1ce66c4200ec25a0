# SPDX-License-Identifier: Apache-2.0
"""One experiment from its steady state to its verdict: watch from here, act on the task's host, undo, watch until it is calm."""

from __future__ import annotations

import os
import time
from typing import Any, Protocol

from ansible.errors import AnsibleError
from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue, judge, report
from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Experiment, Promise
from ansible_collections.sluice.stack.plugins.module_utils.chaos.judge import Seen, Times
from ansible_collections.sluice.stack.plugins.modules import chaos_action
from ansible_collections.sluice.stack.plugins.plugin_utils import chaos_deploy, host_module, say
from ansible_collections.sluice.stack.plugins.plugin_utils.chaos_watch import Watch, now
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import Program

STEADY_SECONDS = 4.0
# How long after the promised recovery it is watched at most, and how long nothing has to fail to end that early.
AFTER_SECONDS, CALM_SECONDS = 10.0, 4.0
# The host undoes it by itself so long after its end was due.
GRACE_SECONDS = 20.0
# How long a host may be away before it is given up: it is rebooting.
AWAY_SECONDS = 300.0
POLL_SECONDS = 0.25


class Fault(Protocol):
    """What is done and undone."""

    def begin(self) -> dict[str, Any]:
        """Act; returns ``note``, or ``unfit`` with the reason."""

    def end(self) -> None:
        """Have it undone."""


class ActionModule(host_module.HostModule):
    """See the documentation in plugins/modules/chaos_experiment.py."""

    PROGRAM = Program(chaos_action)

    _VALID_ARGS = frozenset(
        ("experiment", "promise", "release", "version", "target", "probes", "rate", "timeout", "run_id")
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Watch, act, undo, judge."""
        result = super(host_module.HostModule, self).run(tmp, task_vars)
        args, variables = self._task.args, task_vars or {}
        one, promise = catalogue.BY_NAME[args["experiment"]], Promise(**args["promise"])
        fault: Fault = self._deploy(variables) if one.name == "deploy_killed" else OnHost(self, one, variables)
        with Watch(args["probes"], float(args["rate"]), float(args["timeout"])) as watch:
            row = self._watched(one, str(variables["inventory_hostname"]), promise, watch, fault).as_data()
        return {**result, "changed": False, "seen": row, "lines": say.show([report.line(row)])}

    def _watched(self, one: Experiment, host: str, promise: Promise, watch: Watch, fault: Fault) -> Seen:
        args = self._task.args
        time.sleep(STEADY_SECONDS)
        before = watch.samples()
        problem = judge.unsteady(before, args["probes"])
        if problem:
            return judge.unknown(one, host, promise, f"not begun, since the app is not steady: {problem}")
        good, began = judge.expected(before), now()
        begun = fault.begin()
        if "unfit" in begun:
            return judge.skipped(one, host, promise, begun["unfit"])
        mended = now()
        note, until = str(begun["note"]), mended + float(args["target"]["seconds"])
        while now() < until:
            time.sleep(POLL_SECONDS)
            if judge.out_of_hand(watch.samples(), good, promise, mended, now()):
                note += f"; undone after {now() - mended:.0f} s, when half of the requests failed"
                break
        fault.end()
        if one.lasts:
            mended = now()
        deadline = now() + promise.recovers + AFTER_SECONDS
        while now() < deadline and not judge.calm(watch.samples(), good, mended, now(), CALM_SECONDS):
            time.sleep(POLL_SECONDS)
        end = now()
        return judge.judge(one, host, promise, watch.stop(), Times(began, mended, end), note)

    def _deploy(self, variables: dict[str, Any]) -> Fault:
        # In a checkout beside the folder of this playbook, else the collection's.
        beside = os.path.join(self._loader.get_basedir(), "..", "deploy.yml")
        playbook = os.path.abspath(beside) if os.path.isfile(beside) else "sluice.stack.deploy"
        env = self._templar.template(variables.get("app_env") or {})
        return Deploy(playbook, str(self._task.args["version"]), env, str(self._task.args["run_id"]))


class OnHost:
    """What the module does on the task's host."""

    def __init__(self, action: ActionModule, one: Experiment, variables: dict[str, Any]) -> None:
        self._action, self._one, self._variables = action, one, variables
        self._args = action._task.args
        self._limit = float(self._args["target"]["seconds"]) + GRACE_SECONDS
        self._boot = ""

    def begin(self) -> dict[str, Any]:
        """Arm the undo, act."""
        self._boot = self._ask("observed")["boot"]
        target = {**self._args["target"], "release": self._args["release"]}
        return self._ask(
            "started", experiment=self._one.name, target=target, run_id=self._args["run_id"], limit=self._limit
        )

    def end(self) -> None:
        """Undo it; where the host does not answer, its own timer does, and a host that reboots is waited for."""
        reboots = self._one.name == "host_rebooted"
        deadline = now() + (AWAY_SECONDS if reboots else self._limit)
        while True:
            try:
                if not reboots or self._rebooted():
                    self._ask("undone")
                    return
            except AnsibleError:
                if now() > deadline:
                    raise
            if now() > deadline:
                raise AnsibleError(f"not back {AWAY_SECONDS:g} s after its reboot")
            time.sleep(1)

    def _rebooted(self) -> bool:
        # The kept connection would wait for a host that knows nothing of it.
        self._action._connection.reset()
        return bool(self._ask("observed")["boot"] != self._boot)

    def _ask(self, state: str, **more: Any) -> dict[str, Any]:
        answer = self._action.on_host(self._action.PROGRAM, {"state": state, **more}, self._variables)
        if answer.get("failed"):
            raise AnsibleError(str(answer.get("msg")))
        return answer


class Deploy:
    """A deploy from here that is killed; nothing on a host has to be undone, and the deploy after it needs no help."""

    def __init__(self, playbook: str, version: str, env: dict[str, Any], run_id: str) -> None:
        self._playbook, self._version, self._env, self._run_id = playbook, version, env, run_id

    def begin(self) -> dict[str, Any]:
        """Begin it, kill it."""
        return {"note": chaos_deploy.killed(self._playbook, self._version, self._env, self._run_id)}

    def end(self) -> None:
        """Deploy what was live."""
        chaos_deploy.completed(self._playbook, self._version)
