# SPDX-License-Identifier: Apache-2.0
"""A playbook run against the fixtures' inventory, whose hosts cannot be reached: a run that goes further than it should is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "tests" / "contract" / "fixtures"
COMMAND_LINE = "(set in <CLI option '-e'>)"


@dataclass
class Run:
    """How a run of a playbook ended."""

    code: int
    output: str
    tasks: list[str]

    @property
    def errors(self) -> list[str]:
        """The messages of failures, as a person sees them."""
        # The second is Ansible's own, of what fails before the console begins.
        marks = ("Error: ", "[ERROR]: ")
        # The prompt for a password does not end its line.
        lines = [line.removeprefix("BECOME password: ") for line in self.output.splitlines()]
        return [line.removeprefix(mark) for line in lines for mark in marks if line.startswith(mark)]

    def reached(self, step: str) -> bool:
        """Whether a task of the step was begun."""
        return any(task.startswith(f"{step.replace('_', ' ').capitalize()} | ") for task in self.tasks)


def run(
    *arguments: str,
    playbook: str = "deploy.yml",
    inventory: str = "inventory",
    more: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a playbook against an inventory of the fixtures, and perhaps one more on top of it."""
    inventories = [f"-i{path}" for path in (FIXTURES / inventory, more) if path]
    with tempfile.NamedTemporaryFile("r", prefix="sluice-events-") as events:
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", playbook, *inventories, *arguments],
            cwd=REPOSITORY,
            env={key: value for key, value in os.environ.items() if key != "APP_VERSION"}
            | {
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"),
                "ANSIBLE_CALLBACK_PLUGINS": str(REPOSITORY / "tests" / "support" / "callbacks"),
                "ANSIBLE_CALLBACKS_ENABLED": "events",
                "SLUICE_EVENTS": events.name,
                "ANSIBLE_NOCOLOR": "1",
            }
            | dict(environment or {}),
            # Nobody types a password.
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        tasks = [json.loads(line).get("task", "") for line in events]
    return Run(done.returncode, done.stdout + done.stderr, tasks)
