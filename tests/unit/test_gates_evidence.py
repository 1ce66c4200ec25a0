# SPDX-License-Identifier: Apache-2.0
"""Files of CI, and the gates that are judged by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import gates as contract_gates
from ansible_collections.sluice.stack.plugins.module_utils.gates import evidence, from_files
from ansible_collections.sluice.stack.plugins.module_utils.gates.evidence import Unreadable
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Evidence, Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import Result
from ansible_collections.sluice.stack.plugins.plugin_utils import gate_evidence

GREEN = """<testsuites><testsuite name="api" tests="3" failures="0" errors="0">
<testcase classname="orders" name="adds"/><testcase classname="orders" name="removes"><system-out>x</system-out></testcase>
<testcase classname="orders" name="later"><skipped/></testcase></testsuite></testsuites>"""
RED = '<testsuite><testcase classname="orders" name="adds"><failure message="no">trace</failure></testcase><testcase name="b"/></testsuite>'
NOW = 1_795_389_300.0


def sarif(*results: dict[str, Any], rules: tuple[dict[str, Any], ...] = (), **run: Any) -> str:
    driver = {"name": "semgrep", "rules": list(rules)}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]})


def finding(**more: Any) -> dict[str, Any]:
    return {"ruleId": "sql-injection", "message": {"text": "query from input"}, "level": "error", **more}


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Result]:
    """Judge a gate by files of version v1.4.2."""

    def done(
        name: str, about: dict[str, str] | None = None, now: float = NOW, migration: bool = True, **options: Any
    ) -> Result:
        said = about if about is not None else {"app": "shop", "version": "v1.4.2", "commit": "0123456789abcdef"}
        if said:
            (tmp_path / "evidence.json").write_text(json.dumps(said))
        facts = Facts(
            now,
            "shop",
            "v1.4.2",
            "production",
            migration=migration,
            evidence=gate_evidence.read(str(tmp_path), "shop", []),
        )
        defaults = contract_gates.default_options(name) or {}
        return getattr(from_files, name)(facts, {**defaults, **options})

    return done


def test_tests_that_passed_are_counted_over_all_files(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "junit.xml").write_text(GREEN)
    (tmp_path / "web.xml").write_text(GREEN)
    assert judge("tests") == Result("tests", "ok", "4 passed, 2 skipped, in 2 files, commit 0123456789ab")


def test_one_red_test_among_green_ones_fails(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "a.xml").write_text(GREEN)
    (tmp_path / "b.xml").write_text(RED)
    found = judge("tests")
    assert (found.state, found.evidence) == ("failed", "1 of 4 failed: orders.adds")
    assert found.fix


def test_a_suite_that_broke_before_its_first_test_is_red(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "a.xml").write_text('<testsuite errors="1"><testcase name="x"/></testsuite>')
    assert judge("tests").evidence == "1 of 2 failed: 1 that are only counted"


def test_too_few_tests_are_no_proof(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "a.xml").write_text("<testsuite/>")
    assert judge("tests").state == "failed"
    (tmp_path / "a.xml").write_text(GREEN)
    assert judge("tests", least=3).state == "failed"
    assert judge("tests", least=2).state == "ok"


@pytest.mark.parametrize(
    ("about", "state", "evidence_"),
    [
        ({"version": "v1.4.1"}, "failed", "is about v1.4.1, not v1.4.2"),
        ({"app": "blog", "version": "v1.4.2"}, "failed", "is about blog v1.4.2, not v1.4.2"),
        ({}, "unknown", "does not say which version it is about"),
    ],
)
def test_files_of_another_version_prove_nothing(
    tmp_path: Path, judge: Any, about: dict[str, str], state: str, evidence_: str
) -> None:
    (tmp_path / "a.xml").write_text(GREEN)
    (tmp_path / "a.sarif").write_text(sarif())
    for name in ("tests", "scans"):
        found = judge(name, about)
        assert found.state == state
        assert found.evidence.endswith(evidence_)


def test_what_is_not_there_or_cannot_be_read_is_unknown(tmp_path: Path, judge: Any) -> None:
    for name in ("tests", "scans", "load_test", "security", "migrations"):
        assert judge(name).state == "unknown", name
    (tmp_path / "a.xml").write_text(GREEN)
    (tmp_path / "b.xml").write_text("<testsuite>")
    assert judge("tests").state == "unknown"
    assert judge("tests").evidence.startswith("b.xml: it is no XML")


def test_without_the_directory_nothing_is_known() -> None:
    for place in ("", "/nonexistent"):
        facts = Facts(
            NOW, "shop", "v1.4.2", "production", migration=True, evidence=gate_evidence.read(place, "shop", [])
        )
        for name in ("tests", "scans", "load_test", "security", "migrations"):
            assert getattr(from_files, name)(facts, contract_gates.default_options(name)).state == "unknown"


@pytest.mark.parametrize(
    "text", ['<!DOCTYPE x [<!ENTITY a "b">]><testsuite/>', "<html", "", "\x00", '<testsuite errors="many"/>']
)
def test_hostile_xml_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        evidence.junit("a.xml", text)


def test_other_xml_is_no_test_result(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "coverage.xml").write_text("<coverage/>")
    assert judge("tests").state == "unknown"
    (tmp_path / "junit.xml").write_text(GREEN)
    assert judge("tests").evidence.startswith("2 passed, 1 skipped, in 1 files")


def test_links_and_too_many_files_prove_nothing(tmp_path: Path, judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xml").write_text(GREEN)
    (tmp_path / "b.xml").symlink_to(tmp_path / "a.xml")
    assert judge("tests").evidence == "b.xml: it is a link, or no file"
    (tmp_path / "b.xml").unlink()
    monkeypatch.setattr(gate_evidence, "MOST_FILES", 1)
    assert judge("tests").evidence.endswith("has more than 1 files")
    monkeypatch.setattr(gate_evidence, "LARGEST", 10)
    monkeypatch.setattr(gate_evidence, "MOST_FILES", 10)
    assert judge("tests").state == "unknown"


def test_findings_count_by_their_level(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "a.sarif").write_text(sarif(finding(), finding(level="note")))
    found = judge("scans")
    assert (found.state, found.evidence) == ("failed", "1 findings: semgrep: sql-injection: query from input")
    (tmp_path / "a.sarif").write_text(sarif(finding(level="warning")))
    assert judge("scans").state == "ok"
    assert judge("scans", level="warning").state == "failed"


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({"level": None}, True),
        ({"suppressions": [{"kind": "inSource"}]}, False),
        ({"suppressions": [{"kind": "external", "status": "rejected"}]}, True),
        ({"kind": "pass"}, False),
        ({"baselineState": "absent"}, False),
        ({"level": "catastrophe"}, True),
    ],
)
def test_what_counts_as_a_finding(more: dict[str, Any], counts: bool) -> None:
    rule = {"id": "sql-injection", "defaultConfiguration": {"level": "error"}}
    (scan,) = evidence.sarif("a.sarif", sarif(finding(**more), rules=(rule,)))
    assert [level for level, _text in scan.findings] == ["error"] * counts


def test_a_scanner_that_did_not_run_to_its_end_or_not_at_all_proves_nothing(tmp_path: Path, judge: Any) -> None:
    (tmp_path / "a.sarif").write_text(sarif(invocations=[{"executionSuccessful": False}]))
    assert (judge("scans").state, judge("scans").evidence) == ("unknown", "a.sarif: semgrep did not run to its end")
    (tmp_path / "a.sarif").write_text(sarif())
    assert judge("scans").state == "ok"
    assert judge("scans", tools=["Semgrep", "gitleaks"]).evidence == "no results of gitleaks, only of semgrep"


def test_a_load_test_keeps_every_limit(tmp_path: Path, judge: Any) -> None:
    path = tmp_path / "load-test.json"
    metrics = {"http_req_duration": {"thresholds": {"p(95)<500": {"ok": True}}}, "checks": {}}
    path.write_text(json.dumps({"metrics": metrics}))
    assert judge("load_test") == Result("load_test", "ok", "within http_req_duration p(95)<500")
    metrics["http_req_failed"] = {"thresholds": {"rate<0.01": {"ok": False}}}
    path.write_text(json.dumps({"metrics": metrics}))
    assert (judge("load_test").state, judge("load_test").evidence) == (
        "failed",
        "1 of 2 limits broken: http_req_failed rate<0.01",
    )
    for nothing in (
        {"metrics": {}},
        {"checks": []},
        {"checks": [{"name": "a", "ok": "yes"}]},
        {"metrics": {"a": {"thresholds": {"x": True}}}},
    ):
        path.write_text(json.dumps(nothing))
        assert judge("load_test").state == "unknown", nothing
    path.write_text(json.dumps({"checks": [{"name": "p95 below 500 ms", "ok": True}]}))
    assert judge("load_test").state == "ok"


def test_an_open_finding_of_the_audit_counts_by_its_severity(tmp_path: Path, judge: Any) -> None:
    def audit(state: str, severity: str) -> None:
        check = {"name": "ports", "host": "app1", "state": state, "severity": severity, "evidence": "", "fix": ""}
        (tmp_path / "security.json").write_text(json.dumps({"checks": [check]}))

    audit("failed", "high")
    assert judge("security").evidence == "1 open findings of high or above: ports on app1"
    for state, severity, wanted in (
        ("failed", "medium", "ok"),
        ("waived", "high", "ok"),
        ("unknown", "critical", "failed"),
        ("failed", "apocalyptic", "failed"),
    ):
        audit(state, severity)
        assert judge("security").state == wanted, (state, severity)


def test_migrations_are_proved_by_the_report_of_a_rehearsal(tmp_path: Path, judge: Any) -> None:
    def report(**more: Any) -> None:
        said = {
            "action": "rehearsal",
            "release": "20261122T231500Z-v1.4.2",
            "code": 0,
            "ended": "2026-11-22T23:15:00Z",
            **more,
        }
        (tmp_path / "report.json").write_text(json.dumps(said))

    assert judge("migrations", migration=False).evidence == "the app has no migrations"
    report()
    assert judge("migrations").state == "ok"
    assert judge("migrations", now=NOW + 8 * 86400).state == "failed", "it is too old"
    report(code=3)
    assert judge("migrations").evidence == "the last rehearsal failed (report.json)"
    report(release="20261122T231500Z-v1.4.1")
    assert judge("migrations").evidence.endswith("has no report of a rehearsal of v1.4.2, only of v1.4.1")
    report(action="deploy")
    assert judge("migrations").state == "unknown"
    facts = Facts(NOW, "shop", "v1.4.2", "production", migration=True, rehearses=True, evidence=Evidence(fault="none"))
    assert from_files.migrations(facts, {}).state == "ok"
    assert from_files.migrations(replace(facts, rehearses=False), {}).state == "unknown"


def test_a_name_from_outside_stays_on_one_line() -> None:
    assert evidence.plain("a\nb\x1b[31m\tc") == "a b [31m c"
    assert len(evidence.plain("x" * 500)) == 80


RULES = [{"id": "xss"}, {"id": "sqli", "defaultConfiguration": {"level": "error"}}]


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        ({"driver": {"name": "s", "rules": RULES}}, {"ruleId": "sqli"}),
        ({"driver": {"name": "s", "rules": RULES}}, {"ruleIndex": 1}),
        ({"driver": {"name": "s", "rules": RULES}}, {"ruleId": "sqli/second-order"}),
        ({"driver": {"name": "s"}, "extensions": [{"name": "pack", "rules": RULES}]}, {"ruleId": "sqli"}),
        (
            {"driver": {"name": "s", "rules": [{"id": "other"}] * 2}, "extensions": [{"name": "pack", "rules": RULES}]},
            {"ruleId": "sqli", "rule": {"index": 1, "toolComponent": {"index": 0}}},
        ),
    ],
)
def test_a_finding_has_the_level_of_its_rule_wherever_that_stands(tool: dict[str, Any], result: dict[str, Any]) -> None:
    text = json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": [{"message": {"text": "x"}, **result}]}]})
    ((level, words),) = evidence.sarif("scan.sarif", text)[0].findings
    assert level == "error" and words.startswith("sqli")


@pytest.mark.parametrize(
    "place",
    [
        {"ruleIndex": 7},
        {"rule": {"index": 0, "toolComponent": {"index": 3}}},
        {"rule": {"index": 0, "toolComponent": {"name": "pack"}}},
    ],
)
def test_a_rule_that_is_not_there_makes_the_file_unreadable(place: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        evidence.sarif("scan.sarif", sarif(finding(**place), rules=({"id": "sql-injection"},)))
