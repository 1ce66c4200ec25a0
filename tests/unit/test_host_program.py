# SPDX-License-Identifier: Apache-2.0
"""A host module as a program for a plain Python: it runs, whole, with nothing of Ansible there."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.plugin_utils import host_program

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
SENT = sorted(path.stem for path in (PLUGINS / "action").glob("*.py") if "host_module import Host" in path.read_text())


def program(name: str) -> host_program.Program:
    return host_program.Program(importlib.import_module(f"{host_program.PACKAGE}.modules.{name}"))


def run(name: str, params: dict[str, Any], check_mode: bool = True) -> subprocess.CompletedProcess[bytes]:
    """The module, in a Python without any package."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", host_program.LOADER],
        input=program(name).text(params, check_mode=check_mode, diff=False),
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_module_runs_without_ansible_and_its_result_comes_back() -> None:
    owned = {"app": "shop", "run_id": "a", "token": 1, "release_lease": False}
    done = run("release_ledger", {**owned, "entries": [{"event": "started"}]})
    assert host_program.result_of(done.stdout.decode()) == {"changed": True}, done.stderr.decode()
    assert done.returncode == 0


def test_a_failure_comes_back_with_its_message() -> None:
    params = {"app": "shop", "releases": {"new": "r", "old": "r"}, "seconds": 5, "since": None, "until": None}
    done = run("canary_window", {**params, "block_seconds": 5, "wait": 0, "run_id": None, "token": None, "path": "/x"})
    result = host_program.result_of(done.stdout.decode())
    assert result and result["failed"] and "are both r" in result["msg"]
    assert done.returncode == 1


def test_what_else_a_host_prints_is_no_result() -> None:
    assert host_program.result_of("Last login: today\n{}\n") is None
    assert host_program.result_of(f"motd\n{host_program.MARK}not json") is None
    assert host_program.result_of(f'motd\n{host_program.MARK}{{"a": 1}}\nlogout') == {"a": 1}


def test_values_are_in_no_arguments() -> None:
    text = program("release_slot").text({"secrets": {"KEY": "hunter2"}}, check_mode=False, diff=False)
    assert b"hunter2" in text
    assert "hunter2" not in host_program.LOADER


@pytest.mark.parametrize("name", SENT)
def test_a_host_module_imports_the_standard_library_and_its_own_files_alone(name: str) -> None:
    for dotted, source in host_program.sources_of(name).items():
        for node in ast.walk(ast.parse(source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for imported in names:
                root = imported.split(".")[0]
                own = imported.startswith(f"{host_program.PACKAGE}.module_utils")
                libpq = root == "psycopg2" and dotted.endswith(".migration.session")
                assert own or libpq or root in sys.stdlib_module_names or imported == "ansible.module_utils.basic", (
                    f"{dotted} imports {imported}"
                )


def test_a_host_without_the_driver_is_told_to_be_provisioned() -> None:
    program = f"import sys; sys.path.insert(0, {str(PLUGINS.parent / '.collections')!r})\n"
    program += f"from {host_program.PACKAGE}.module_utils.migration import session\n"
    program += (
        "session.PACKAGES = '/nonexistent'\ntry: session.driver()\nexcept session.DatabaseError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert "run provision.yml, which installs the package python3-psycopg2" in done.stdout
    assert done.stdout.count("\n") == 1


def test_every_file_a_module_reaches_is_sent(tmp_path: Path) -> None:
    names = host_program.imported(
        f"from {host_program.PACKAGE}.module_utils import (\n    one,\n    two as three,\n)\n"
        f"from {host_program.PACKAGE}.module_utils import four, five\n"
        f"from {host_program.PACKAGE}.module_utils.six import seven\n"
        f"from {host_program.PACKAGE}.module_utils.release import eight\n"
        f"from {host_program.PACKAGE}.module_utils.release.nine import ten\n"
    )
    assert names == {"one", "two", "four", "five", "six", "release.eight", "release.nine"}


def test_the_sources_are_those_of_the_files() -> None:
    text = json.loads(program("release_ledger").text({}, check_mode=False, diff=False))
    assert len(text["hash"]) == 64
    assert text["hash"] != json.loads(program("edge_split").text({}, check_mode=False, diff=False))["hash"]
