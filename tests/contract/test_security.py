# SPDX-License-Identifier: Apache-2.0
"""The security audit with hosts that nobody can reach: what it refuses, and that it never passes what it did not see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.dry_run import Run, run

WAIVER = {"check": "reached", "reason": "not there yet", "until": "2999-12-31"}


def audit(*words: str, **variables: object) -> Run:
    return run(*words, "-e", json.dumps(variables), playbook="playbooks/checks/security.yml")


def test_a_host_that_cannot_be_reached_fails_the_audit_and_the_report_says_so(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    done = audit(security_report=str(path))
    assert done.code != 0
    assert done.errors == [
        "3 checks failed with severity high or higher: reached on app1, reached on app2, reached on edge1. See docs/runbooks/security-check.md"
    ]
    assert "  failed   high      reached               app1 app2 edge1\n" in done.output
    report = json.loads(path.read_text())
    assert report["ok"] is False and report["counts"]["failed"] == 3
    assert {item["host"] for item in report["checks"] if item["state"] == "failed"} == {"app1", "app2", "edge1"}
    assert set(report["checks"][0]) == {"name", "state", "evidence", "fix", "host", "severity"}
    assert path.stat().st_mode & 0o077 == 0


def test_a_waiver_lets_it_pass_and_so_does_a_higher_threshold() -> None:
    done = audit(security_waivers=[WAIVER])
    assert done.code == 0 and "  waived   high      reached " in done.output, done.output
    assert audit(security_fail_at="critical").code == 0


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"security_waivers": [{**WAIVER, "check": "reachd"}]},
            "security_waivers[0].check is 'reachd': did you mean 'reached'?",
        ),
        ({"security_fail_at": "severe"}, "security_fail_at is 'severe': choose one of low, medium, high, critical"),
        ({"security_adresses": ["192.0.2.1"]}, "security_adresses is unknown: did you mean 'security_addresses'?"),
        (
            {"security_report": "{{ 1 }}"},
            "security_report is '{{ 1 }}' on the command line: templates are not accepted there",
        ),
    ],
)
def test_wrong_input_is_refused_in_one_line(variables: dict[str, object], message: str) -> None:
    done = audit(**variables)
    assert done.code != 0 and any(message in error for error in done.errors), done.output
