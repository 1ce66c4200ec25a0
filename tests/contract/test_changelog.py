# SPDX-License-Identifier: Apache-2.0
"""The changelog is what antsibull-changelog makes of changelogs/, and was not edited by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from tests.support.collection import tool

ROOT = Path(__file__).resolve().parents[2]


def generated(folder: Path, extra: str = "") -> str:
    """CHANGELOG.rst of a copy of changelogs/, whose first release has one more change."""
    shutil.copytree(ROOT / "changelogs", folder / "changelogs")
    shutil.copy(ROOT / "galaxy.yml", folder)
    if extra:
        path = folder / "changelogs" / "changelog.yaml"
        data = yaml.safe_load(path.read_text())
        data["releases"]["0.1.0"]["changes"]["major_changes"].append(extra)
        path.write_text(yaml.safe_dump(data))
    done = tool("antsibull-changelog", "generate", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "CHANGELOG.rst").read_text()


def test_it_is_what_is_generated(tmp_path: Path) -> None:
    assert generated(tmp_path) == (ROOT / "CHANGELOG.rst").read_text()


def test_a_change_that_was_not_generated_would_be_seen(tmp_path: Path) -> None:
    assert generated(tmp_path, "Something new.") != (ROOT / "CHANGELOG.rst").read_text()


def test_a_fragment_with_an_unknown_section_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "changelogs", tmp_path / "changelogs")
    shutil.copy(ROOT / "galaxy.yml", tmp_path)
    assert tool("antsibull-changelog", "lint", folder=tmp_path).returncode == 0
    (tmp_path / "changelogs" / "fragments" / "wrong.yml").write_text("new_things:\n  - Something.\n")
    done = tool("antsibull-changelog", "lint", folder=tmp_path)
    assert done.returncode != 0 and "new_things" in done.stdout + done.stderr
