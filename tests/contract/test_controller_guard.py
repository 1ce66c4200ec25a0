# SPDX-License-Identifier: Apache-2.0
"""Nothing is installed on the machine that runs Ansible unless somebody says so.

Everything here only reads: the guard alone, or provision.yml in check mode.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
REFUSAL = "box is the machine that runs Ansible: "
WAY_OUT = "-e provision_controller=true"
GUARD = ("ansible", "box", "-m", "sluice.stack.host_facts")


def run(inventory: Path, *words: str) -> tuple[int, str]:
    """The exit code and output of an Ansible command."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / words[0]), "-i", str(inventory), *words[1:]],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        | {"ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local.ini"
    path.write_text("[db]\nbox ansible_connection=local\n")
    return path


@pytest.fixture
def loopback(tmp_path: Path) -> Path:
    """An inventory whose host is reached over ssh and is this machine; the ssh client is a script."""
    client = tmp_path / "ssh"
    client.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    client.chmod(0o755)
    path = tmp_path / "loopback.ini"
    path.write_text(f"[db]\nbox ansible_host=127.0.0.1 ansible_ssh_executable={client}\n")
    return path


def test_a_local_connection_is_refused_in_one_line(local: Path) -> None:
    code, output = run(local, *GUARD)
    assert code != 0
    line = next(line for line in output.splitlines() if REFUSAL in line)
    assert "connection is local" in line and WAY_OUT in line


def test_a_way_back_to_this_machine_is_refused(loopback: Path) -> None:
    code, output = run(loopback, *GUARD)
    assert code != 0
    line = next(line for line in output.splitlines() if REFUSAL in line)
    assert "127.0.0.1 is this machine" in line and WAY_OUT in line


@pytest.mark.parametrize("inventory", ["local", "loopback"])
def test_it_can_be_allowed(inventory: str, request: pytest.FixtureRequest) -> None:
    """The control: both hosts can be reached, so it is the guard that refuses."""
    code, output = run(request.getfixturevalue(inventory), *GUARD, "-e", "provision_controller=true")
    assert code == 0, output
    assert "distribution_release" in output


@pytest.mark.parametrize("value", ["false", "", "no"])
def test_a_value_that_is_not_yes_allows_nothing(local: Path, value: str) -> None:
    code, output = run(local, *GUARD, "-e", f"provision_controller={value}")
    assert code != 0 and REFUSAL in output


@pytest.mark.parametrize("inventory", ["local", "loopback"])
def test_provision_refuses_it_before_any_role(inventory: str, request: pytest.FixtureRequest) -> None:
    words = ("ansible-playbook", "provision.yml", "--check", "-e", "ansible_become=false")
    code, output = run(request.getfixturevalue(inventory), *words)
    assert code != 0 and REFUSAL in output, output
    assert "sluice.stack.postgres" not in output
