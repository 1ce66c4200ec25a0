# SPDX-License-Identifier: Apache-2.0
"""Alertmanager's configuration, as Alertmanager's own tool reads it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import alertmanager, rules

ROOT = Path(__file__).resolve().parents[2]
SETTINGS: dict[str, Any] = {
    "receivers": {
        "oncall": {"type": "pagerduty", "key": "pd-secret", "severities": ["page"]},
        "channel": {"type": "slack", "url": "https://hooks.slack.test/T0/B0/sl-secret", "channel": "#ops"},
        "post": {
            "type": "mail",
            "to": "ops@example.com",
            "from": "alerts@example.com",
            "server": "mail.example.com:587",
            "user": "alerts",
            "password": "ml-secret",
            "severities": ["ticket"],
        },
        "bus": {"type": "webhook", "url": "https://bus.example.com/alerts"},
    },
    "dead_man": {"url": "https://switch.example.com/1234", "every": 60},
}


@pytest.fixture(scope="module")
def amtool() -> str:
    done = subprocess.run([ROOT / "scripts" / "prometheus-tools"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return f"{done.stdout.strip()}/amtool"


def written(folder: Path, settings: dict[str, Any]) -> Path:
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(alertmanager.config(settings)), encoding="utf-8")
    return path


@pytest.mark.parametrize("settings", [SETTINGS, {}, {"receivers": {}, "dead_man": {}}])
def test_alertmanager_takes_it(amtool: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    assert alertmanager.problems(settings) == []
    command = [amtool, "check-config", written(tmp_path, settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["alertname=HostDown", "severity=page"], "oncall,channel,bus"),
        (["alertname=BackupLate", "severity=ticket"], "channel,post,bus"),
        (["alertname=OfAnother", "severity=critical"], "oncall,channel,bus"),
        (["alertname=Watchdog", "severity=none"], "dead-man"),
        (["alertname=OfAnother", "severity=info"], "nobody"),
    ],
)
def test_who_hears_of_it(amtool: str, tmp_path: Path, labels: list[str], receivers: str) -> None:
    command = [amtool, "config", "routes", "test", f"--config.file={written(tmp_path, SETTINGS)}", *labels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == receivers, done.stderr


def test_secrets_are_files_of_their_own() -> None:
    assert alertmanager.secrets(SETTINGS) == {
        "alertmanager-oncall": "pd-secret",
        "alertmanager-channel": "https://hooks.slack.test/T0/B0/sl-secret",
        "alertmanager-post": "ml-secret",
    }
    assert "secret" not in yaml.safe_dump(alertmanager.config(SETTINGS)).replace(alertmanager.SECRETS, "")


def test_what_holds_back_names_alerts_that_exist() -> None:
    known = set(rules.names())
    for rule in alertmanager.inhibitions():
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            names = re.search(r'"(.*)"', matcher)
            assert names and set(names[1].split("|")) <= known, matcher


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"receivers": []}, None),
        ({"receivers": ["x"]}, "monitoring_receivers must be a map, not a list"),
        ({"receivers": {"a": {"type": "slck"}}}, "monitoring_receivers.a.type is 'slck': did you mean 'slack'?"),
        ({"receivers": {"a": {"type": "slack"}}}, "monitoring_receivers.a.url is missing"),
        (
            {"receivers": {"a": {"type": "slack", "url": "hooks.slack.test/secret"}}},
            "monitoring_receivers.a.url is a string: it must be an http or https address",
        ),
        (
            {"receivers": {"a": {"type": "webhook", "url": "https://x.test", "severities": ["high"]}}},
            "monitoring_receivers.a.severities[0] is 'high': known: page, ticket",
        ),
        (
            {"receivers": {"nobody": {"type": "webhook", "url": "https://x.test"}}},
            "monitoring_receivers.nobody is not a name for a receiver: use lower-case letters, digits and '-'",
        ),
        ({"dead_man": {"url": "https://x.test", "every": 1}}, "monitoring_dead_man.every is 1: it must be 10 to 86400"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str | None) -> None:
    assert alertmanager.problems(settings) == ([message] if message else [])
