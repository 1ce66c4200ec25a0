# SPDX-License-Identifier: Apache-2.0
"""Gates that need no host refuse a deploy before any host is asked, with one line, and the report says that it was refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.dry_run import COMMAND_LINE, run

# On no day: it is never open.
SHUT = {"window": {"days": [], "from": "00:00", "to": "24:00"}}
JUNIT = '<testsuite><testcase name="adds"/></testsuite>'


def gated(*gates: Any, **more: Any) -> tuple[str, ...]:
    return ("-e", "app_version=v1.0.0", "-e", json.dumps({"app_gates": gates, **more}))


def evidence(folder: Path, version: str) -> str:
    (folder / "evidence.json").write_text(json.dumps({"version": version}))
    (folder / "junit.xml").write_text(JUNIT)
    return str(folder)


def test_a_refused_deploy_asks_no_host_and_its_report_says_so(tmp_path: Path) -> None:
    reports = {"ANSIBLE_CALLBACKS_ENABLED": "events,sluice.stack.report", "SLUICE_REPORT_DIRECTORY": str(tmp_path)}
    done = run(*gated(SHUT), environment=reports)
    (error,) = done.errors
    assert error.startswith("deploy refused: gate window failed: ") and error.endswith(". Nothing was changed.")
    assert done.code != 0
    assert not done.reached("fence")
    (report,) = tmp_path.glob("*.json")
    assert json.loads(report.read_text())["code"] == 2


def test_gates_that_pass_or_are_waived_let_the_deploy_begin(tmp_path: Path) -> None:
    place = evidence(tmp_path, "v1.0.0")
    assert run(*gated("tests", SHUT, app_gate_evidence=place), "-e", "gate_waive='window: a test'").reached("fence")


def test_a_waiver_that_ended_and_evidence_of_another_version_are_none(tmp_path: Path) -> None:
    ended = {"gate": "window", "reason": "a test", "by": "anna", "until": "2020-01-01"}
    done = run(*gated(SHUT, "tests", app_gate_evidence=evidence(tmp_path, "v0.9.0"), app_gate_waivers=[ended]))
    (error,) = done.errors
    assert error.startswith("deploy refused: gate window failed: ")
    assert "; the waiver by anna ended 2020-01-01. " in error and "(and 1 more)" in error
    assert f"gate tests failed: {tmp_path} is about v0.9.0, not v1.0.0" in done.output
    assert not done.reached("fence")


def test_a_rollback_is_not_gated() -> None:
    assert run(*gated(SHUT), playbook="rollback.yml").reached("fence")


def test_a_wrong_waiver_is_one_line() -> None:
    done = run(*gated(SHUT), "-e", "gate_waive=windows")
    assert done.errors == [f"gate_waive must be 'gate: reason', not 'windows' {COMMAND_LINE}"]


def test_a_checklist_is_named() -> None:
    done = run("-e", "app_version=v1.0.0", playbook="playbooks/checks/checklist.yml")
    assert done.errors == ["checklist is not set: run it with -e checklist=pre-deploy|post-deploy|production"]
