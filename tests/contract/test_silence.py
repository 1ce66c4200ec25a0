# SPDX-License-Identifier: Apache-2.0
"""Holding alerts back: what is refused, and that no work stops for want of a monitoring host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NONE = "all: {hosts: {app1: {ansible_connection: local}}}"
# Nothing listens where Alertmanager would.
DEAF = "monitors: {hosts: {mon1: {ansible_connection: local, ansible_python_interpreter: PYTHON}}}"
WORK = f"""
- ansible.builtin.import_playbook: {REPOSITORY}/playbooks/parts/silence.yml
  vars:
    silence: {{name: a test, state: present, matchers: [{{name: instance, value: app1}}], seconds: 60}}
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {{msg: the work goes on}}
"""


def run(folder: Path, inventory: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "hosts.yml").write_text(inventory.replace("PYTHON", sys.executable))
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
        | {"ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("inventory", "words", "message"),
    [
        (
            NONE,
            ("silence_host=app1",),
            "group monitors: no host of this inventory is in it, so there is no alert to hold back",
        ),
        (DEAF, (), "which alerts? Set one or more of -e silence_host=NAME, -e silence_app=NAME, -e silence_alert=NAME"),
        (DEAF, ("silence_host=app9",), "silence_host is app9: it is not a host of this inventory"),
        (DEAF, ("silence_host=mon1",), "Alertmanager on port 9093 of this host does not answer"),
    ],
)
def test_what_is_refused(tmp_path: Path, inventory: str, words: tuple[str, ...], message: str) -> None:
    playbook = str(REPOSITORY / "playbooks" / "monitoring" / "silence.yml")
    done = run(tmp_path, inventory, playbook, *(part for word in words for part in ("-e", word)))
    assert done.returncode != 0 and message in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("inventory", [NONE, DEAF])
def test_no_work_stops_for_it(tmp_path: Path, inventory: str) -> None:
    (tmp_path / "work.yml").write_text(WORK)
    done = run(tmp_path, inventory, "work.yml")
    assert done.returncode == 0 and "the work goes on" in done.stdout, done.stdout + done.stderr
    # The control: where there is a host, it was tried.
    assert ("does not answer" in done.stdout) == (inventory == DEAF)
