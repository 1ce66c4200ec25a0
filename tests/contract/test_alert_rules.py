# SPDX-License-Identifier: Apache-2.0
"""The alerts as Prometheus evaluates them: each fires for its cause and for nothing else, and has its page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import rules
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.alert import RUNBOOKS

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "promtool"
SETTINGS = {"slos": {"shop": {"availability": 99.9, "latency": {"p99": 0.5}}}}
# Fires without a cause, in every test.
ALWAYS = "Watchdog"


@pytest.fixture(scope="module")
def tools() -> Path:
    """The directory of promtool."""
    done = subprocess.run([ROOT / "scripts" / "prometheus-tools"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def cases(*names: str) -> dict[str, dict[str, Any]]:
    """The cases of some files, or all, by their titles, which begin with the alert's name."""
    return {
        title: case
        for name in names or ("fleet", "slo")
        for title, case in yaml.safe_load((CASES / f"{name}.yml").read_text(encoding="utf-8")).items()
    }


def alerts(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every alerting rule."""
    documents = rules.rules(settings).values()
    return [rule for one in documents for group in one["groups"] for rule in group["rules"] if "alert" in rule]


def written(folder: Path) -> list[str]:
    """The rules as the role writes them."""
    names = []
    for name, document in rules.rules(SETTINGS).items():
        names.append(f"{name}.yml")
        (folder / names[-1]).write_text(yaml.safe_dump(document), encoding="utf-8")
    return names


def unit_test(title: str, case: dict[str, Any], part: str) -> dict[str, Any]:
    """One of promtool's tests: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/."""
    alert = title.split(maxsplit=1)[0]
    expected = [alert, *case.get("also", [])] if part == "fires" else case.get("remains", [])
    firing = [
        {"expr": f'ALERTS{{alertstate="firing",alertname!~"{"|".join([ALWAYS, *expected])}"}}', "eval_time": case["at"]}
    ]
    for name in expected:
        expr = f'count(count by (alertname) (ALERTS{{alertstate="firing",alertname="{name}"}}))'
        firing.append({"expr": expr, "eval_time": case["at"], "exp_samples": [{"labels": "{}", "value": 1}]})
    return {
        "name": f"{title}, {part}",
        "interval": case.get("every", "1m"),
        "input_series": [{"series": series, "values": values} for series, values in case[part].items()],
        "promql_expr_test": firing,
    }


def promtool(
    tools: Path, folder: Path, tests: list[dict[str, Any]], every: str = "1m", only: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run tests against the rules, or those of one document."""
    suite = {
        "rule_files": [name for name in written(folder) if only in name],
        "evaluation_interval": every,
        "tests": tests,
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    command = [tools / "promtool", "test", "rules", "tests.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_rules_are_valid(tools: Path, tmp_path: Path) -> None:
    command = [tools / "promtool", "check", "rules", "--lint=all", "--lint-fatal", *written(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "every"), [("fleet", "1m"), ("fleet", "4m"), ("slo", "1m")])
def test_each_fires_for_its_cause_and_for_nothing_else(tools: Path, tmp_path: Path, name: str, every: str) -> None:
    chosen = {title: case for title, case in cases(name).items() if case.get("every", "1m") == every}
    tests = [unit_test(title, case, part) for title, case in chosen.items() for part in ("fires", "quiet")]
    done = promtool(tools, tmp_path, tests, every, only=name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("swapped", [("fires", "quiet"), ("quiet", "fires")])
def test_of_the_tests(tools: Path, tmp_path: Path, swapped: tuple[str, str]) -> None:
    """An alert that stays silent for its cause, or fires without it, is seen."""
    case = dict(cases()["HostDown"])
    case["fires"], case["quiet"] = (case["quiet"],) * 2 if swapped[0] == "fires" else (case["fires"],) * 2
    assert promtool(tools, tmp_path, [unit_test("HostDown", case, swapped[0])]).returncode


def test_what_a_person_reads(tools: Path, tmp_path: Path) -> None:
    certificate = {
        "exp_labels": {"severity": "ticket", "instance": "edge1", "name": "app.example.com"},
        "exp_annotations": {
            "summary": "the certificate of app.example.com ends soon",
            "description": "The certificate of app.example.com on edge1 ends in 11.6 days.",
            "runbook_url": f"{RUNBOOKS}#certificateending",
        },
    }
    burning = {
        "exp_labels": {"severity": "page", "app": "shop", "slo": "availability", "window": "1h"},
        "exp_annotations": {
            "summary": "shop burns its error budget of availability 14.4 times too fast",
            "description": "2% of the requests of shop failed within 1h; 0.1000% are allowed over 30 days.",
            "runbook_url": f"{RUNBOOKS}#errorbudgetburnsfast",
        },
    }
    slowly = {
        "exp_labels": {**burning["exp_labels"], "window": "6h"},
        "exp_annotations": {
            **burning["exp_annotations"],
            "summary": "shop burns its error budget of availability 6 times too fast",
            "description": "2% of the requests of shop failed within 6h; 0.1000% are allowed over 30 days.",
        },
    }
    tests = []
    for title, expected in (("CertificateEnding", [certificate]), ("ErrorBudgetBurnsFast", [burning, slowly])):
        test = unit_test(title, cases()[title], "fires")
        del test["promql_expr_test"]
        test["alert_rule_test"] = [{"alertname": title, "eval_time": cases()[title]["at"], "exp_alerts": expected}]
        tests.append(test)
    done = promtool(tools, tmp_path, tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_has_its_entry() -> None:
    known = rules.names()
    assert sorted({title.split()[0] for title in cases()} | {ALWAYS}) == sorted(known)
    page = (ROOT / "docs" / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == sorted(known)
    for rule in alerts(SETTINGS):
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket", "none")


def test_an_alert_may_be_changed() -> None:
    changed = {
        "HostDown": {"enabled": False},
        "DiskNearlyFull": {"threshold": 15, "severity": "ticket", "for": "1h"},
        "ErrorBudgetSpent": {"enabled": False},
    }
    assert rules.problems({**SETTINGS, "alerts": changed}) == []
    found = {rule["alert"]: rule for rule in alerts({**SETTINGS, "alerts": changed})}
    assert "HostDown" not in found and "ErrorBudgetSpent" not in found and "EdgeDown" in found
    assert found["DiskNearlyFull"]["for"] == "1h" and found["DiskNearlyFull"]["labels"]["severity"] == "ticket"
    assert found["DiskNearlyFull"]["expr"].endswith("< 15")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alerts": {"HostDwn": {}}}, "monitoring_alerts.HostDwn is not an alert: did you mean 'HostDown'?"),
        ({"alerts": {"HostDown": False}}, "monitoring_alerts.HostDown must be a map like {enabled: false}, not False"),
        (
            {"alerts": {"HostDown": {"on": False}}},
            "monitoring_alerts.HostDown.on is not known: known: enabled, for, severity, threshold",
        ),
        (
            {"alerts": {"HostDown": {"enabled": "no"}}},
            "monitoring_alerts.HostDown.enabled must be true or false, not 'no'",
        ),
        (
            {"alerts": {"HostDown": {"severity": "high"}}},
            "monitoring_alerts.HostDown.severity is 'high': it must be page or ticket",
        ),
        (
            {"alerts": {"HostDown": {"for": "soon"}}},
            "monitoring_alerts.HostDown.for is 'soon': it must be a time like '90s', '10m' or '1h30m'",
        ),
        (
            {"alerts": {"HostDown": {"threshold": 2}}},
            "monitoring_alerts.HostDown.threshold cannot be set: this alert has none",
        ),
        ({"slos": {"shop": {"availability": 100}}}, "app_slo of shop.availability is 100: it must be 50 to 99.999"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    assert rules.problems(settings) == [message]


def test_windows_of_another_length() -> None:
    """A pace that would last longer than the window, or that no share of requests can reach, has no alert."""

    def burns(slo: dict[str, Any]) -> list[str]:
        found = alerts({"slos": {"shop": slo}})
        return [rule["labels"]["window"] for rule in found if rule["alert"].startswith("ErrorBudgetBurns")]

    assert burns({"availability": 99.9}) == ["1h", "6h", "1d", "3d"]
    assert burns({"availability": 99.9, "window_days": 7}) == ["1h", "6h"]
    assert burns({"latency": {"p90": 1}}) == ["6h", "1d", "3d"]
