# SPDX-License-Identifier: Apache-2.0
"""The example's workflows hold triggers, rights and order; every step is one command of the example, or an action at a commit."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.example import MARKETPLACE
from tests.support.runner import stand_ins

WORKFLOWS = sorted((MARKETPLACE / ".github" / "workflows").glob("*.yml"))
ACT = Path(__file__).resolve().parents[1] / "act"
DEPLOYS = {"deploy-staging": "staging", "deploy-production": "production"}
# What a job may do besides reading the code, and why it must.
RIGHTS = {
    ("security", "scan"): {"security-events": "write"},
    ("build", "image"): {"packages": "write"},
    ("preview", "build"): {"packages": "write"},
    **{(name, "security"): {"security-events": "write"} for name in DEPLOYS},
    **{(name, "build"): {"packages": "write"} for name in DEPLOYS},
}


def parsed(path: Path) -> dict[str, Any]:
    """A workflow. YAML 1.1 reads the key ``on`` as true."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    found["on"] = found.pop(True)
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of a workflow."""
    return [step for job in parsed(path)["jobs"].values() for step in job.get("steps", [])]


each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def test_there_are_six() -> None:
    names = ["build", "deploy-production", "deploy-staging", "preview", "security", "test"]
    assert [path.stem for path in WORKFLOWS] == names


@each
def test_a_step_is_a_command_of_the_project_and_takes_nothing_as_a_part_of_it(path: Path) -> None:
    for step in steps(path):
        if "run" in step:
            assert "${{" not in step["run"], step["run"]
            for command in step["run"].split(" && "):
                program = MARKETPLACE / command.split()[0]
                assert program.parent.name == "ci" and os.access(program, os.X_OK), command


@each
def test_actions_are_pinned_by_commit_and_each_has_its_stand_in(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}", one)] == []
    for one in used:
        action, _, commit = one.partition("@")
        if action != "actions/checkout":
            owner, name, *folder = action.split("/")
            assert f"{owner}/{name}@{commit}=/opt/act/actions/{name}" in stand_ins()
            assert (ACT / "actions" / Path(name, *folder) / "action.yml").exists(), action


@each
def test_the_stand_ins_are_listed(path: Path) -> None:
    listed = (ACT / "README.md").read_text()
    actions = {step["uses"].partition("@")[0] for step in steps(path) if "uses" in step}
    assert [action for action in sorted(actions) if f"`{action}`" not in listed] == []


@each
def test_a_job_has_the_rights_it_needs_and_no_more(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == {"contents": "read", **RIGHTS.get((path.stem, name), {})}, name
        assert "uses" in job or job["timeout-minutes"] <= 60


@each
def test_nothing_asks_whether_it_runs_under_act(path: Path) -> None:
    assert not re.search(r"\bACT\b|nektos|env\.ACT|local", path.read_text().replace("/usr/local", ""))


@pytest.mark.parametrize(("name", "environment"), DEPLOYS.items())
def test_a_deploy_is_approved_queued_and_never_cut_off(name: str, environment: str) -> None:
    jobs = parsed(MARKETPLACE / ".github" / "workflows" / f"{name}.yml")["jobs"]
    deploy = jobs["deploy"]
    assert deploy["environment"] == environment
    assert deploy["concurrency"] == {"group": f"deploy-{environment}", "cancel-in-progress": False}
    # Tests and scans first, then images, then the deploy: a failure of one is the end.
    assert deploy["needs"] == ["build"] and jobs["build"]["needs"] == ["test", "security"]
    assert not {"if", "continue-on-error"} & set(deploy) & set(jobs["build"])


def test_a_tag_that_is_no_version_goes_nowhere_and_a_rollback_by_hand_waits_for_nobody() -> None:
    workflow = parsed(MARKETPLACE / ".github/workflows/deploy-production.yml")
    jobs = workflow["jobs"]
    assert workflow["on"]["push"] == {"tags": ["v*.*.*"]}
    assert jobs["test"]["needs"] == jobs["security"]["needs"] == ["version"]
    assert list(workflow["on"]["workflow_dispatch"]["inputs"]) == ["rollback_version"]
    assert "needs" not in jobs["rollback"] and "concurrency" not in jobs["rollback"]
    assert jobs["rollback"]["environment"] == "production"


def test_a_preview_runs_the_base_branch_and_gives_a_stranger_nothing() -> None:
    workflow = parsed(MARKETPLACE / ".github/workflows/preview.yml")
    jobs = workflow["jobs"]
    assert set(workflow["on"]) == {"pull_request", "schedule"}, "pull_request_target would give a fork the secrets"
    assert all("head.repo.fork" in jobs[name]["if"] for name in ("build", "away"))
    assert jobs["up"]["needs"] == ["build"] and "if" not in jobs["up"]
    assert jobs["up"]["concurrency"] == jobs["away"]["concurrency"]
    for name in ("up", "away"):
        checkout, *others = jobs[name]["steps"]
        assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
        assert "secrets." not in str(checkout) and len(others) == 3
        assert jobs[name]["env"]["SLUICE_PREVIEW"] == "${{ github.event.number }}"


def test_the_triggers() -> None:
    """What is tested for develop and for a tag is called by the deploy: a commit is tested once."""
    for name in ("test", "security", "build"):
        on = parsed(MARKETPLACE / ".github" / "workflows" / f"{name}.yml")["on"]
        assert on["push"] == {"branches": ["main"]} and on["pull_request"] == {"branches": ["main", "develop"]}
        assert "workflow_call" in on
    assert parsed(MARKETPLACE / ".github/workflows/deploy-staging.yml")["on"] == {"push": {"branches": ["develop"]}}
