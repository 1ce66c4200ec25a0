# SPDX-License-Identifier: Apache-2.0
"""Check pending SQL on the controller, and stop the deploy when it would break or block the live app."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.migration import gate as migration_gate
from ansible_collections.sluice.stack.plugins.module_utils.migration.gate import Migration
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from ansible_collections.sluice.stack.plugins.plugin_utils import say


class NoSquawk(Exception):
    """The linter cannot run; the message says why and what to do."""


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/migration_gate.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("hosts", "result", "mode", "down_required", "verdict"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Inspect, print, and return the verdict."""
        result = {**super().run(tmp, task_vars), "changed": False, "refused": [], "allowed": [], "needless": []}
        args, hostvars = self._task.args, (task_vars or {})["hostvars"]
        answers = {host: hostvars[host].get(args["result"]) for host in args["hosts"]}
        verdict = barrier.judge("pending", answers, args["verdict"])
        if not verdict["ok"]:
            return {**result, "verdict": verdict}
        listed = next(iter(answers.values())) or {}
        # A tool without a status always runs, and does nothing when nothing is pending.
        if listed["known"] and not listed["status"]["pending"]:
            result["needless"] = ["rehearse", "migrate"]
        pending = [Migration(one["name"], one["sql"], bool(one["in_transaction"])) for one in listed["pending"]]
        mode = args.get("mode", "refuse")
        found = migration_gate.pending_lines(listed["status"], bool(listed["known"]))
        result["lines"] = say.show([f"  pending    {line}" for line in found], "bright blue")
        lone = migration_gate.one_way(listed["pending"]) if args.get("down_required") else ""
        if lone:
            return {**result, "verdict": _stop(verdict, "refuse", lone, [])}
        if mode == "off" or not pending:
            return {**result, "verdict": verdict}
        try:
            remarks = migration_gate.inspect(pending, squawk(pending))
        except NoSquawk as error:
            return {**result, "verdict": _stop(verdict, mode, f"the migration gate cannot check: {error}", [])}
        refused, allowed = migration_gate.judge(pending, remarks, listed["released"])
        result["lines"] += say.show([f"  gate       {line}" for line in migration_gate.lines(allowed)], "yellow")
        if refused:
            verdict = _stop(verdict, mode, migration_gate.summary(refused), migration_gate.lines(refused))
        return {**result, "refused": refused, "allowed": allowed, "verdict": verdict}


def _stop(verdict: dict[str, Any], mode: str, message: str, details: Sequence[str]) -> dict[str, Any]:
    """Return the verdict after a finding: the end of the run, or a note."""
    if mode == "warn":
        return {**verdict, "notes": [*verdict["notes"], "\n".join([f"gate: {message}", *details])]}
    return {**verdict, "ok": False, "step": "gate", "message": "\n".join([message, *(f"  {line}" for line in details)])}


def squawk(pending: Sequence[Migration]) -> dict[str, list[dict[str, Any]]]:
    """Run squawk; returns its JSON report of each migration. Raises NoSquawk."""
    # From Ansible's own environment, if it is there.
    program = shutil.which("squawk", path=os.path.dirname(sys.executable)) or shutil.which("squawk")
    if not program:
        raise NoSquawk(
            "squawk is not installed on the controller: pip install squawk-cli, or set app_migration.gate to off"
        )
    said: dict[str, list[dict[str, Any]]] = {one.name: [] for one in pending}
    with tempfile.TemporaryDirectory(prefix="sluice-gate-") as folder:
        for option, group in (
            (["--assume-in-transaction"], [one for one in pending if one.in_transaction]),
            ([], [one for one in pending if not one.in_transaction]),
        ):
            names = {}
            for number, one in enumerate(group):
                path = os.path.join(folder, f"{number}.sql")
                names[path] = one.name
                with open(path, "w", encoding="utf-8") as handle:
                    handle.write(migration_gate.for_squawk(one.sql))
            if names:
                # Without a configuration file: one in the working directory must not change the rules.
                command = [program, "--reporter", "json", "--no-error-on-unmatched-pattern", *option, *names]
                for remark in _report(command, folder):
                    said[names[remark["file"]]].append(remark)
    return said


def _report(command: Sequence[str], folder: str) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        return list(json.loads(done.stdout or "[]")) if done.returncode in (0, 1) else _failed(done.stderr)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise NoSquawk(f"squawk failed ({error})") from error


def _failed(said: str) -> list[dict[str, Any]]:
    raise NoSquawk(f"squawk failed: {said.strip()[:300]}")
