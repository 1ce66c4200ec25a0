# SPDX-License-Identifier: Apache-2.0
"""The programs that roles install on hosts run with the files they are installed with, and a Python without packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.plugin_utils import host_program

UTILS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
PACKAGE = "ansible_collections.sluice.stack.plugins.module_utils"
PROGRAMS = ("pgbackrest", "dump", "file_backup")


def test_the_program_of_certificates_runs_with_its_parts(tmp_path: Path) -> None:
    for part in host_program.parts_of("certificates/program"):
        place = tmp_path / PACKAGE.replace(".", "/") / f"{part}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(UTILS / f"{part}.py", place)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from {PACKAGE}.certificates.program import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "renew" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["facts", "edge"])
def test_the_programs_of_figures_run_with_their_parts(tmp_path: Path, name: str) -> None:
    for part in host_program.parts_of(f"monitoring/{name}_program"):
        place = tmp_path / PACKAGE.replace(".", "/") / f"{part}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(UTILS / f"{part}.py", place)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from {PACKAGE}.monitoring.{name}_program import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--state" in done.stdout, done.stderr


def shown_help(folder: Path, name: str, parts: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """The program's help, run from a directory with these parts only."""
    for part in parts:
        place = folder / PACKAGE.replace(".", "/") / f"{part}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(UTILS / f"{part}.py", place)
    script = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); from {PACKAGE}.backup.program import main; "
        f"from {PACKAGE}.{name}.program import ENGINE; main(ENGINE, ['--help'])"
    )
    return subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_with_its_parts(tmp_path: Path, name: str) -> None:
    done = shown_help(tmp_path, name, host_program.parts_of(f"{name}/program"))
    assert done.returncode == 0 and "restore" in done.stdout, done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_part_that_is_missing_would_be_noticed(tmp_path: Path, name: str) -> None:
    parts = [part for part in host_program.parts_of(f"{name}/program") if part != "backup/repository"]
    done = shown_help(tmp_path, name, parts)
    assert done.returncode != 0 and "repository" in done.stderr


def test_what_is_installed_is_each_part_below_a_directory_that_is_made() -> None:
    code = host_program.code_of("dump/program")
    places = {item["path"] for item in code["directories"]}
    assert {str(Path(item["path"]).parent) for item in code["files"]} == places
    assert {Path(item["src"]).resolve().relative_to(UTILS).with_suffix("").as_posix() for item in code["files"]} == set(
        host_program.parts_of("dump/program")
    )
    assert all(item["path"].startswith("/usr/local/lib/sluice/ansible_collections/") for item in code["files"])
