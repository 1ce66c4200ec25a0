# SPDX-License-Identifier: Apache-2.0
"""Look at keys, make one or end the others by a command of the user's, on the controller."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sluice.stack.plugins.module_utils.rotation import command, turns
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

SECONDS = 60.0


class Provider:
    """Whatever is behind the command."""

    def __init__(self, words: Sequence[str], folder: str, asked: str, value: str) -> None:
        # A path begins at the inventory's folder; a bare name is looked up as in a shell.
        program = os.path.join(folder, os.path.expanduser(words[0])) if "/" in words[0] else words[0]
        self._words, self._asked, self._value = [program, *words[1:]], asked, value
        self._valid = False

    def look(self) -> turns.Look:
        """Return the keys that work."""
        self._valid, found = command.look(self.ask(command.LIST))
        return found

    def knows(self, name: str, url: str) -> bool:
        """Return whether the stored key works."""
        del name, url
        return self._valid

    def prepare(self, name: str, url: str) -> None:
        """Not asked for: a key is made with ``create``."""

    def enable(self, name: str) -> None:
        """Not asked for: a key works at once."""

    def create(self) -> str:
        """Return a new key."""
        return command.made(self.ask(command.CREATE), self._value)

    def revoke(self, names: Sequence[str]) -> int:
        """End all keys but the stored one."""
        self.ask(command.REVOKE)
        return len(names)

    def ask(self, word: str) -> str:
        """Return what the command prints for a word. Raises RotationError."""
        what = f"{self._words[0]} {word}"
        try:
            done = subprocess.run(
                [*self._words, word],
                input=self._asked,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RotationError(f"{what} still ran after {SECONDS:g} s and was stopped") from None
        except OSError as error:
            raise RotationError(f"{what} cannot be run: {error.strerror}") from None
        if done.returncode:
            raise RotationError(f"{what}: {command.reason(done.returncode, done.stderr, self._value)}")
        return done.stdout


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/secret_command.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("name", "app", "environment", "command", "value", "state", "wait_seconds"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the command."""
        result = {**super().run(tmp, task_vars), "changed": False}
        args, check_mode = self._task.args, self._task.check_mode
        folder = str((task_vars or {}).get("inventory_dir") or os.getcwd())
        value, state = args["value"], args.get("state", turns.OBSERVED)
        asked = command.question(args["app"], args["environment"], args["name"], value)
        provider = Provider(args["command"], folder, asked, value)
        try:
            if state == turns.PREPARED:
                made = "" if check_mode else provider.create()
                return {**result, "changed": True, "value": made, "_ansible_no_log": True}
            params = {
                "state": state,
                "url": value,
                "expected": "",
                "wait_seconds": float(args.get("wait_seconds", 60)),
            }
            return {**result, **turns.reach(provider, command.Keys(), params, check_mode=check_mode)}
        except RotationError as error:
            return {**result, "failed": True, "msg": f"{args['name']}: {error}"}
