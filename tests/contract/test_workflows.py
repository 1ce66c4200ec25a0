# SPDX-License-Identifier: Apache-2.0
"""The workflows call what there is, with no more rights than they need, and hand a version over as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yml"))
FILES = [*WORKFLOWS, *(REPO / ".github" / "actions").glob("*/action.yml")]


def jobs(path: Path) -> dict[str, Any]:
    """The jobs of a workflow."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name + "/" + path.stem)
def test_every_playbook_and_every_target_exists(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"ansible-playbook sluice\.stack\.([a-z_.]+)", text):
        assert (REPO / "playbooks" / f"{name.replace('.', '/')}.yml").exists(), name
    targets = re.findall(r"^([a-z0-9-]+):", (REPO / "Makefile").read_text(), re.MULTILINE)
    for name in re.findall(r"run: make ([a-z-]+)", text):
        assert name in targets


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name + "/" + path.stem)
def test_nothing_of_an_input_is_put_into_a_script(path: Path) -> None:
    """The shell would run what a tag is called: ``$(id)`` is a tag git accepts."""
    parsed = yaml.safe_load(path.read_text())
    lists = [job["steps"] for job in parsed.get("jobs", {}).values()] or [parsed["runs"]["steps"]]
    scripts = [step["run"] for steps in lists for step in steps if "run" in step]
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_right_its_jobs_do_not_name_and_pins_what_it_uses(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for job in jobs(path).values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"]
    used = re.findall(
        r"uses: (\S+)", "\n".join(one for one in path.read_text().splitlines() if not one.startswith("#"))
    )
    assert [one for one in used if not one.startswith("./") and not re.search(r"@[0-9a-f]{40}$", one)] == []


def test_a_deploy_waits_for_the_one_before_and_a_rollback_does_not() -> None:
    deploy = jobs(REPO / ".github/workflows/deploy.yml")["deploy"]["concurrency"]
    assert deploy["cancel-in-progress"] is False and "inputs.environment" in deploy["group"]
    assert "concurrency" not in jobs(REPO / ".github/workflows/rollback.yml")["rollback"]
