# SPDX-License-Identifier: Apache-2.0
"""What Ansible gives its modules, those of this collection get too, though they are sent without its wrapper."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "planted-7f3a"

# A module that shows where it runs, and the action that sends it as those of the collection are sent.
ACTION = '''
from types import SimpleNamespace
from ansible_collections.sluice.stack.plugins.plugin_utils.host_module import HostModule
from ansible_collections.sluice.stack.plugins.plugin_utils.host_program import PACKAGE, Program

SOURCE = """
import os, sys
from ansible.module_utils.basic import AnsibleModule

def main():
    module = AnsibleModule()
    module.exit_json(
        changed=False, python=sys.executable, value=os.environ.get("PROBE"), echo=module.params["secret"], warnings=["a warning of the module"],
    )
"""
MODULE = SimpleNamespace(
    __name__=f"{PACKAGE}.modules.probe",
    ARGUMENTS={"argument_spec": {"secret": {"type": "str", "no_log": True}}, "supports_check_mode": True},
)

class ActionModule(HostModule):
    PROGRAM = Program(MODULE, {f"{PACKAGE}.modules.probe": SOURCE})
'''
PLAY = """
- hosts: local
  gather_facts: false
  tasks:
    - name: probe
      probe: {secret: "%s"}
      environment: {PROBE: "it's $HOME"}
      register: found
    - name: once more
      probe:
      register: again
    - ansible.builtin.copy:
        content: "{{ {'first': found, 'second': again, 'facts': ansible_facts} | to_json }}"
        dest: "{{ playbook_dir }}/found.json"
      delegate_to: localhost
      vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A playbook that sends the probe over the connection `local`."""
    for name in ("action_plugins", "library"):
        (tmp_path / name).mkdir()
    (tmp_path / "action_plugins/probe.py").write_text(ACTION)
    (tmp_path / "library/probe.py").write_text("")
    (tmp_path / "play.yml").write_text(PLAY % SECRET)
    (tmp_path / "hosts.yml").write_text("all: {hosts: {local: {ansible_connection: local}}}")
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", *arguments],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"},
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def found(folder: Path) -> dict[str, dict[str, str]]:
    return json.loads((folder / "found.json").read_text())


def test_the_environment_and_the_named_python_are_the_tasks(folder: Path) -> None:
    done = run(folder, "-vvv", "-e", f"ansible_python_interpreter={sys.executable}")
    assert done.returncode == 0, done.stdout
    first = found(folder)["first"]
    assert first["value"] == "it's $HOME"
    assert Path(first["python"]).resolve() == Path(sys.executable).resolve()
    assert found(folder)["second"]["value"] is None, "the environment was that of the one task"
    assert "a warning of the module" in done.stdout + done.stderr
    assert '"module_args"' in done.stdout and "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in done.stdout
    assert SECRET not in done.stdout + done.stderr and first["echo"] != SECRET


@pytest.mark.parametrize("setting", ["auto", "auto_silent"])
def test_a_python_is_discovered_where_none_is_named(folder: Path, setting: str) -> None:
    done = run(folder, ANSIBLE_PYTHON_INTERPRETER=setting, PATH="/usr/bin:/bin")
    assert done.returncode == 0, done.stdout
    facts, first = found(folder)["facts"], found(folder)["first"]
    assert Path(first["python"]).resolve() == Path(facts["discovered_interpreter_python"]).resolve()
    assert found(folder)["second"]["python"] == first["python"]


def test_no_other_python_takes_the_place_of_the_named_one(folder: Path) -> None:
    done = run(folder, "-e", "ansible_python_interpreter=/opt/none/python3")
    assert done.returncode != 0
    assert "no result (/opt/none/python3)" in done.stdout
