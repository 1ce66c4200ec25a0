# SPDX-License-Identifier: Apache-2.0
"""Run a playbook and know what it cost."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    "PATH": f"{REPO}/.venv/bin:{os.environ['PATH']}",
    "MOLECULE_PROJECT_DIRECTORY": str(REPO),  # where the inventory finds the lab's keys
    "ANSIBLE_CALLBACK_PLUGINS": str(REPO / "tests" / "support" / "callbacks"),
    "ANSIBLE_CALLBACKS_ENABLED": "events",
    "ANSIBLE_NOCOLOR": "1",
    # It prints the steps' own seconds in one line.
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    # As ansible.cfg has it, but for longer than a round: every command finds its connections open, also the rare ones.
    "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=10m -o ServerAliveInterval=10 -o ServerAliveCountMax=3",
}
# The modules that go to a host.
REMOTE = {
    f"sluice.stack.{path.stem}"
    for path in (REPO / "plugins" / "action").glob("*.py")
    if "host_module import Host" in path.read_text()
} | {"ansible.builtin.ping"}
# What the run itself says of its steps: "deploy took 2.1 s: fence 0.4, start 0.9, …"
STEPS = re.compile(r"took [\d.]+ s: (.+)$", re.MULTILINE)


@dataclass
class Timing:
    """One run of a command: wall and controller CPU in seconds, the run's own steps, remote tasks by host."""

    wall: float
    cpu: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    remote: dict[str, int] = field(default_factory=dict)


def play(playbook: str, inventory: Path, *arguments: str) -> Timing:
    """Run a playbook; one that fails ends the bench with its output."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as events:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", playbook, "-i", inventory, *arguments],
            cwd=REPO,
            env={**ENVIRONMENT, "SLUICE_EVENTS": events.name},
            capture_output=True,
            text=True,
            check=False,
        )
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = [json.loads(line) for line in Path(events.name).read_text().splitlines()]
    if done.returncode:
        sys.exit(f"bench: {playbook} {' '.join(arguments)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    said = STEPS.search(done.stdout)
    return Timing(
        wall,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        {name: float(seconds) for name, seconds in re.findall(r"(\w+) ([\d.]+)", said[1])} if said else {},
        dict(Counter(line["host"] for line in lines if line.get("action") in REMOTE and line["status"] != "skipped")),
    )
