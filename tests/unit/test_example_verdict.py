# SPDX-License-Identifier: Apache-2.0
"""The example's security verdict: what counts, what the allow list lets pass and until when, and that unknown is no pass."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.example import CI, load

verdict = load("verdict")
to_sarif = load("to_sarif")

TODAY = datetime.date(2026, 11, 28)


def log(*results: dict[str, Any], rules: list[dict[str, Any]] | None = None, **run: Any) -> dict[str, Any]:
    """A SARIF log of one run."""
    tool = {"driver": {"name": "scanner", "rules": rules or []}}
    return {"version": "2.1.0", "runs": [{"tool": tool, "results": list(results), **run}]}


def result(rule: str = "R1", path: str = "src/a.ts", **more: Any) -> dict[str, Any]:
    """One SARIF result."""
    place = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 3}}}
    return {"ruleId": rule, "message": {"text": "what it is"}, "locations": [place], **more}


def entry(**changes: Any) -> dict[str, Any]:
    """An entry of the allow list."""
    return {"rule": "R1", "until": TODAY, "why": "a reason", "who": "Ann", **changes}


def judged(sarif: dict[str, Any], *entries: dict[str, Any]) -> Any:
    """The verdict over one log."""
    return verdict.judge(verdict.findings("scan", sarif), verdict.allow_list(list(entries)), TODAY)


@pytest.mark.parametrize(
    ("sarif", "counts"),
    [
        (log(result(level="error")), True),
        (log(result(level="warning")), False),
        (log(result()), False),  # SARIF's own default is a warning
        (log(result(), rules=[{"id": "R1", "defaultConfiguration": {"level": "error"}}]), True),
        (log(result(level="warning"), rules=[{"id": "R1", "properties": {"security-severity": "7.0"}}]), True),
        (log(result(level="error"), rules=[{"id": "R1", "properties": {"security-severity": "6.9"}}]), False),
        (log(result(properties={"security-severity": "9.8"})), True),
    ],
)
def test_what_counts(sarif: dict[str, Any], counts: bool) -> None:
    assert judged(sarif).ok is not counts
    assert len(judged(sarif).noted) == (0 if counts else 1)


def test_what_the_source_suppresses_is_no_finding() -> None:
    assert verdict.findings("scan", log(result(level="error", suppressions=[{"kind": "inSource"}]))) == []


def test_an_entry_lets_its_finding_pass_that_day_included_and_no_longer() -> None:
    sarif = log(result(level="error"))
    assert judged(sarif, entry()).ok
    late = judged(sarif, entry(until=TODAY - datetime.timedelta(days=1)))
    assert not late.ok and late.stops and late.expired
    assert "expired on 2026-11-27" in verdict.summary(late, blocking=True)


def test_an_expired_entry_fails_also_when_its_finding_is_gone() -> None:
    assert not judged(log(), entry(until=TODAY - datetime.timedelta(days=1))).ok


@pytest.mark.parametrize("other", [{"rule": "R2"}, {"path": "src/b.ts"}, {"path": "SRC/*"}])
def test_an_entry_lets_nothing_else_pass(other: dict[str, str]) -> None:
    found = judged(log(result(level="error")), entry(**other))
    assert not found.ok and found.unused
    assert "allows nothing any more" in verdict.summary(found, blocking=True)


def test_a_path_is_a_pattern() -> None:
    assert judged(log(result(level="error")), entry(path="src/*")).ok


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "is no list"),
        (["R1"], "entry 1"),
        ([entry(), entry(severity="low")], "entry 2"),
        ([entry(why="")], "has no why"),
        ([{"rule": "R1"}], "has no until and no who and no why"),
        ([entry(until="soon")], "until is 'soon'"),
        ([entry(until=datetime.datetime(2027, 1, 1))], "no date"),
    ],
)
def test_a_list_that_cannot_be_read_says_where(entries: Any, message: str) -> None:
    with pytest.raises(verdict.InputError, match=message):
        verdict.allow_list(entries)


@pytest.mark.parametrize("sarif", [{}, [], {"runs": []}, log(invocations=[{"executionSuccessful": False}])])
def test_a_scan_that_failed_is_no_pass(sarif: Any) -> None:
    with pytest.raises(verdict.InputError, match="scan"):
        verdict.findings("scan", sarif)


@pytest.mark.parametrize(
    ("sarif", "blocking", "expect", "code", "words"),
    [
        (log(), "true", "scan", 0, "Security: passed"),
        (log(result(level="error")), "true", "", 1, "Security: FAILED"),
        (log(result(level="error")), "false", "", 0, "advisory, so nothing stops"),
        (log(), "false", "scan,gitleaks", 2, "no result of gitleaks"),
        ("not JSON", "false", "", 2, "is no SARIF log"),
        ({"runs": [{}]}, "true", "", 2, "is no SARIF log"),
        (log(), "maybe", "", 2, "SECURITY_BLOCKING is 'maybe'"),
    ],
)
def test_the_program(sarif: Any, blocking: str, expect: str, code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "scan.sarif").write_text(sarif if isinstance(sarif, str) else json.dumps(sarif))
    done = subprocess.run(
        [
            sys.executable,
            CI / "verdict.py",
            "--allow",
            CI.parent / ".security-allow.yml",
            "--expect",
            expect,
            tmp_path / "scan.sarif",
        ],
        env={**os.environ, "SECURITY_BLOCKING": blocking, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout + done.stderr
    assert words in (tmp_path / "summary.md").read_text()


def test_npm_audit_as_sarif() -> None:
    advisory = {
        "source": 1106913,
        "title": "Path traversal",
        "url": "https://github.com/advisories/GHSA-aaaa-bbbb-cccc",
        "range": "<2.0.0",
    }
    report = {
        "auditReportVersion": 2,
        "vulnerabilities": {
            "tar": {"via": [{**advisory, "name": "tar", "severity": "high"}]},
            "pack": {"via": ["tar"]},
            "old": {"via": [{**advisory, "url": "", "severity": "moderate"}]},
        },
    }
    sarif = to_sarif.sarif("npm-audit", to_sarif.npm_audit("backend", report))
    found = verdict.findings("npm-audit", sarif)
    assert [(one.rule, one.path, one.counts) for one in found] == [
        ("1106913", "backend/package-lock.json", False),
        ("GHSA-aaaa-bbbb-cccc", "backend/package-lock.json", True),
    ]
    with pytest.raises(ValueError, match="405"):
        to_sarif.npm_audit("backend", {"message": "405 Method Not Allowed", "error": {}})


def test_pip_audit_as_sarif() -> None:
    vulnerability = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"], "aliases": [], "description": "It reads too much."}
    report = {
        "dependencies": [
            {"name": "a", "version": "1.0", "vulns": [vulnerability]},
            {"name": "b", "skip_reason": "local"},
        ]
    }
    found = verdict.findings("pip-audit", to_sarif.sarif("pip-audit", to_sarif.pip_audit("ci", report)))
    assert [(one.rule, one.counts, one.text) for one in found] == [("PYSEC-2026-1", True, "a 1.0: It reads too much.")]


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("MIT", True),
        ("(MIT OR GPL-3.0-only)", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 AND MIT", True),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", False),
        ("GPL-3.0-only", False),
        ("UNLICENSED", False),
        ("", False),
    ],
)
def test_licences(licence: str, good: bool) -> None:
    assert to_sarif.acceptable(licence) is good
    lock = {
        "packages": {
            "": {"license": "x"},
            "node_modules/a": {"version": "1", "license": licence},
            "node_modules/b": {"dev": True},
        }
    }
    assert [one["ruleId"] for one in to_sarif.licences("backend", lock)] == ([] if good else ["licence:a"])


def test_the_examples_own_lists_are_sound() -> None:
    assert verdict.allow_list(yaml.safe_load((CI.parent / ".security-allow.yml").read_text())) == []
    for part in ("backend", "frontend"):
        assert to_sarif.licences(part, json.loads((CI.parent / part / "package-lock.json").read_text())) == []
