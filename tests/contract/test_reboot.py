# SPDX-License-Identifier: Apache-2.0
"""Rebooting hosts: what is refused before anything happens, and the playbooks it uses for an app host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROTATION = """
- hosts: localhost
  gather_facts: false
  tasks:
    - sluice.stack.host_rotation: {host: app2, state: drained}
    - sluice.stack.host_rotation: {host: app2, state: joined}
"""
ASKED = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.assert: {that: [release_host == 'app2', found == 'in the inventory'], success_msg: NAME of app2}
"""
HOSTS = "all: {hosts: {localhost: {ansible_connection: local}}, vars: {found: in the inventory}}"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
        | {"ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yml").write_text(HOSTS)
    (tmp_path / "reboot.yml").write_text(ROTATION)
    for name in ("drain", "join"):
        (tmp_path / f"{name}.yml").write_text(ASKED.replace("NAME", name))
    return tmp_path


def test_an_app_host_is_drained_and_joins_with_the_options_of_the_run(folder: Path) -> None:
    done = run(folder, "-i", "hosts.yml", "reboot.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index("drain of app2") < done.stdout.index("join of app2")
    assert "$ ansible-playbook playbooks/hosts/drain.yml -e release_host=app2\n" in done.stdout


def test_a_host_that_is_not_drained_is_not_rebooted(folder: Path) -> None:
    (folder / "drain.yml").write_text(ASKED.replace("app2'", "app3'"))
    done = run(folder, "-i", "hosts.yml", "reboot.yml")
    assert done.returncode != 0 and "join of app2" not in done.stdout
    assert "app2 was not drained: drain.yml ended with exit code 2" in done.stdout + done.stderr


def test_a_password_that_a_person_types_is_refused_before(folder: Path) -> None:
    done = run(folder, "-i", "hosts.yml", "reboot.yml", "--vault-id", "x@prompt")
    assert done.returncode != 0 and "drain of app2" not in done.stdout


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("--limit", "app1"), "to choose hosts use -e reboot_host=app1,app2"),
        (("--tags", "x"), "to choose hosts use -e reboot_host=app1,app2"),
        (("-e", "reboot_host=app9"), "reboot_host: app9 is not a host of the groups"),
        (("-e", "reboot_host={{ 1 }}"), "reboot_host is"),
    ],
)
def test_half_a_run_and_unknown_hosts_are_refused(words: tuple[str, ...], refusal: str) -> None:
    playbook = str(REPOSITORY / "playbooks/hosts/reboot.yml")
    inventory = REPOSITORY / "tests/contract/fixtures/inventory"
    done = run(REPOSITORY, "-i", str(inventory), playbook, *words)
    assert done.returncode != 0
    assert refusal in done.stdout + done.stderr, done.stdout + done.stderr
