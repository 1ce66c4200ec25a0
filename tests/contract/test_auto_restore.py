# SPDX-License-Identifier: Apache-2.0
"""A run that types a command of its own: the playbook beside it gets what the run was given, and what it says is seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: take back
      sluice.stack.release_restore: {release: 20261122T231500Z-v1.4.2}
"""
ROLLBACK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.assert:
        that: [release_data == 'restore', rollback_confirm == '20261122T231500Z-v1.4.2', app_env == 'staging', found == 'beside the inventory']
        success_msg: all of it is there
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Playbooks of somebody's own."""
    (tmp_path / "deploy.yml").write_text(DEPLOY)
    (tmp_path / "rollback.yml").write_text(ROLLBACK)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(
        "all: {hosts: {localhost: {ansible_connection: local}}, vars: {found: beside the inventory}}"
    )
    return tmp_path


def run(folder: Path, *summary: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", *summary],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"},
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"),
            "ANSIBLE_NOCOLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_is_that_of_the_run_and_its_words_are_shown(folder: Path) -> None:
    done = run(folder, "-i", "inventory", "deploy.yml", "-e", "app_env=staging")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "$ ansible-playbook rollback.yml -e release_data=restore -e rollback_confirm=20261122T231500Z-v1.4.2\n"
        in done.stdout
    )
    assert "all of it is there" in done.stdout


def test_one_that_fails_says_so_below_its_words(folder: Path) -> None:
    done = run(folder, "-i", "inventory", "deploy.yml", "-e", "app_env=production")
    assert done.returncode == 2
    assert "rollback.yml ended with exit code 2; what it said is above" in done.stdout
    assert done.stdout.index("PLAY RECAP") < done.stdout.index("rollback.yml ended")
