# SPDX-License-Identifier: Apache-2.0
"""A run that types a command of its own: the playbook beside it gets what the run was given, and what it says is seen."""

from __future__ import annotations

import json
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


def run(folder: Path, *summary: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", *summary],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"},
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"),
            "ANSIBLE_NOCOLOR": "1",
            **environ,
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
    assert "rollback.yml ended with exit code 2; its output is above" in done.stdout
    assert done.stdout.index("PLAY RECAP") < done.stdout.index("rollback.yml ended")


def test_a_program_that_reads_json_finds_its_words_in_the_result(folder: Path) -> None:
    done = run(folder, "-i", "inventory", "deploy.yml", "-e", "app_env=staging", ANSIBLE_STDOUT_CALLBACK="json")
    (result,) = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"].values()
    assert "all of it is there" in "".join(result["printed"])


def test_the_console_shows_its_words_and_ends_with_the_error(folder: Path) -> None:
    summary = ("-i", "inventory", "deploy.yml", "-e", "app_env=production")
    done = run(folder, *summary, ANSIBLE_STDOUT_CALLBACK="sluice.stack.console")
    assert done.stdout.startswith("$ ansible-playbook rollback.yml -e release_data=restore")
    assert "Error: Assertion failed" in done.stdout
    assert done.stderr == "Error: rollback.yml ended with exit code 2; its output is above\n"
