# SPDX-License-Identifier: Apache-2.0
"""What is pinned outside of the lock files agrees with them, and ansible-builder takes our execution environment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.collection import BIN

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "examples" / "runner" / "execution-environment.yml"
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(.*)$", re.MULTILINE)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def locked(path: Path) -> dict[str, set[str]]:
    """Package → its versions in a lock file, one for each range of Pythons."""
    found: dict[str, set[str]] = {}
    for name, version, _rest in LOCKED.findall(path.read_text(encoding="utf-8")):
        found.setdefault(name, set()).add(version)
    return found


def newest(name: str) -> str:
    """What users run on a new Python."""
    lines = LOCKED.findall((ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8"))
    (version,) = {version for found, version, rest in lines if found == name and "< '3.12'" not in rest}
    return str(version)


def needed() -> set[str]:
    """The Python packages that the playbooks need beside Ansible itself."""
    lines = (ROOT / "requirements" / "runtime.in").read_text(encoding="utf-8").splitlines()
    return {name for line in lines if (name := re.split(r"[>#\s]", line)[0]) and not name.startswith("ansible")}


def test_a_host_that_deploys_by_push_has_what_users_run() -> None:
    there, here = locked(ROOT / "roles/git_deploy/files/requirements.txt"), locked(ROOT / "requirements/runtime.txt")
    assert {"ansible-core", "bcrypt", "squawk-cli"} <= set(there)
    assert {name: versions for name, versions in there.items() if here.get(name) != versions} == {}


def test_the_execution_environment_has_what_users_run() -> None:
    given = read(ENVIRONMENT)["dependencies"]
    assert given["ansible_core"]["package_pip"] == f"ansible-core=={newest('ansible-core')}"
    assert given["ansible_runner"]["package_pip"] == f"ansible-runner=={newest('ansible-runner')}"
    assert set(given["python"]) == {f"{name}=={newest(name)}" for name in needed()}
    galaxy = read(ROOT / "galaxy.yml")
    assert given["galaxy"]["collections"] == [{"name": "sluice.stack", "version": galaxy["version"]}]


def test_the_collection_says_what_it_needs() -> None:
    lines = (ROOT / "meta" / "ee-requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if not line.startswith("#")} == needed()
    files = read(ROOT / "meta" / "execution-environment.yml")["dependencies"]
    assert all((ROOT / path).is_file() for path in files.values())


@pytest.mark.skipif(not (BIN / "ansible-builder").exists(), reason="ansible-builder is not installed yet: make setup")
def test_ansible_builder_takes_both(tmp_path: Path) -> None:
    def build(definition: Path, context: Path) -> subprocess.CompletedProcess[str]:
        command = [BIN / "ansible-builder", "create", "--file", definition, "--context", context]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = build(ENVIRONMENT, tmp_path / "context")
    assert done.returncode == 0, done.stdout + done.stderr
    # Its program inside of the image finds what the collection needs.
    introspect = tmp_path / "context/_build/scripts/introspect.py"
    found = subprocess.run(
        [sys.executable, introspect, "introspect", ROOT / ".collections"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    listed = yaml.safe_load(found.stdout)
    assert {line.split()[0] for line in listed["python"] if "sluice.stack" in line} == needed()
    # The control: a misspelt key is refused.
    (tmp_path / "wrong.yml").write_text(
        ENVIRONMENT.read_text(encoding="utf-8").replace("ansible_core:", "ansible_cor:")
    )
    assert build(tmp_path / "wrong.yml", tmp_path / "wrong").returncode != 0
