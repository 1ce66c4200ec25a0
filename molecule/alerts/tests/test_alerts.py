# SPDX-License-Identifier: Apache-2.0
"""What Prometheus finds reaches people by each way, a silence holds it back, and the dead man's switch hears all the time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import scenario
from tests.support.receivers import Mails, Receiver

HERE = "10.213.78.1"
SLOW = 120.0


class Monitor(scenario.Host):
    """The monitoring host: what its servers say of themselves."""

    def firing(self) -> list[str]:
        """The names of the alerts that fire."""
        found = json.loads(self.must("curl -sf http://127.0.0.1:9090/api/v1/alerts"))["data"]["alerts"]
        return sorted(one["labels"]["alertname"] for one in found if one["state"] == "firing")

    def told(self, name: str) -> list[str]:
        """The states that Alertmanager has an alert in."""
        found = json.loads(self.must("curl -sf http://127.0.0.1:9093/api/v2/alerts"))
        return [one["status"]["state"] for one in found if one["labels"]["alertname"] == name]

    def exporter(self, what: str) -> None:
        """Stop or start the exporter: the cause of HostDown."""
        self.must(f"systemctl {what} prometheus-node-exporter")


def until(true: Callable[[], object], what: str, seconds: float = SLOW) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


class People:
    """Everybody who is told, on this machine."""

    def __init__(self) -> None:
        self.slack = Receiver(host=HERE, port=18601, answer="ok")
        self.pager = Receiver(host=HERE, port=18602)
        self.mails = Mails(host=HERE, port=18603)
        self.switch = Receiver(host=HERE, port=18604)

    def titles(self) -> list[str]:
        """The titles of Slack's messages."""
        return [body["attachments"][0]["title"] for _path, body, _headers in self.slack.got]


@pytest.fixture(scope="module")
def people() -> Iterator[People]:
    them = People()
    with them.mails:
        yield them
    for one in (them.slack, them.pager, them.switch):
        one.server.shutdown()


@pytest.fixture(scope="module")
def mon1(people: People) -> Monitor:
    """The host, once it is quiet."""
    host = Monitor("mon1")
    host.exporter("start")
    until(lambda: host.firing() == ["Watchdog"], f"quiet; it fires: {host.firing()}")
    return host


def silence(*words: str) -> None:
    done = scenario.ansible("ansible-playbook", "playbooks/monitoring/silence.yml", "-e", "silence_host=mon1", *words)
    assert done.returncode == 0, done.stdout + done.stderr


def gate_facts() -> dict[str, Any]:
    """What a gate is judged by."""
    words = ("-o", "-b", "-m", "sluice.stack.gate_facts", "-a", "app=shop monitoring=true")
    done = scenario.ansible("ansible", "mon1", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.partition("=>")[2])["facts"]["monitoring"])


def test_every_rule_can_be_evaluated(mon1: Monitor) -> None:
    facts = gate_facts()
    assert len(facts["alerts"]["rules"]) > 40
    assert {one["health"] for one in facts["alerts"]["rules"]} == {"ok"}
    assert [one["name"] for one in facts["alerts"]["firing"]] == ["Watchdog"]
    assert facts["budgets"] == {"left": {}, "burning": []}, "no edge, no requests"


def test_the_switch_hears_all_the_time(mon1: Monitor, people: People) -> None:
    before = len(people.switch.got)
    got = people.switch.wait_for(before + 2, SLOW)
    assert {path for path, _body, _headers in got} == {"/switch-secret"}
    assert people.titles() == []


def test_an_alert_reaches_people_by_each_way(mon1: Monitor, people: People) -> None:
    mon1.exporter("stop")
    try:
        path, body, _headers = people.slack.wait_for(1, SLOW)[0]
        assert path == "/T0/B0/slack-secret" and body["channel"] == "#ops"
        (shown,) = body["attachments"]
        assert shown["title"] == "FIRING: HostDown"
        assert "mon1 does not answer (page)" in shown["text"] and "alerts.md#hostdown" in shown["text"]
        _path, paged, _headers = people.pager.wait_for(1, SLOW)[0]
        assert paged["routing_key"] == "pagerduty-secret" and paged["event_action"] == "trigger"
        until(lambda: people.mails.mails, "a mail arrives")
        assert people.mails.subjects() == ["FIRING: HostDown"]
    finally:
        mon1.exporter("start")
    until(lambda: people.titles()[-1:] == ["RESOLVED: HostDown"], f"they hear of the end: {people.titles()}")


def test_a_silence_holds_it_back(mon1: Monitor, people: People) -> None:
    silence("-e", "silence_minutes=30", "-e", "silence_reason='a test'")
    before = people.titles()
    mon1.exporter("stop")
    try:
        until(lambda: mon1.told("HostDown") == ["suppressed"], "Alertmanager has it, and holds it back")
        assert "HostDown" in mon1.firing()
        assert people.titles() == before
        # The control: it was the silence.
        silence("-e", "silence_end=true")
        until(
            lambda: people.titles() == [*before, "FIRING: HostDown"], f"without it they hear of it: {people.titles()}"
        )
    finally:
        mon1.exporter("start")
    until(lambda: people.titles()[-1:] == ["RESOLVED: HostDown"], "they hear of the end")


def test_a_monitoring_host_that_hangs_is_seen_by_the_other(mon1: Monitor, people: People) -> None:
    mon2 = Monitor("mon2")
    until(lambda: mon2.firing() == ["Watchdog"], f"the other one is quiet; it fires: {mon2.firing()}")
    # To systemd it still runs.
    mon2.must("systemctl kill --signal=STOP prometheus")
    try:
        until(lambda: mon1.firing() == ["MonitoringDown", "Watchdog"], "the other one sees it")
        until(lambda: people.titles()[-1:] == ["FIRING: MonitoringDown"], "people hear of it")
        assert mon2.must("systemctl is-active prometheus") == "active"
    finally:
        mon2.must("systemctl kill --signal=CONT prometheus")
    until(lambda: people.titles()[-1:] == ["RESOLVED: MonitoringDown"], "they hear of the end")


def test_secrets_are_for_alertmanager_alone(mon1: Monitor) -> None:
    listed = mon1.must(
        "stat -c '%A %U:%G %n' /etc/prometheus/secrets /etc/prometheus/secrets/* /etc/prometheus/alertmanager.yml"
    )
    assert listed.splitlines() == [
        "drwxr-x--- root:prometheus /etc/prometheus/secrets",
        "-rw-r----- root:prometheus /etc/prometheus/secrets/alertmanager-channel",
        "-rw-r----- root:prometheus /etc/prometheus/secrets/alertmanager-oncall",
        "-rw-r----- root:prometheus /etc/prometheus/alertmanager.yml",
    ]
    written = mon1.must("cat /etc/prometheus/alertmanager.yml")
    assert "switch-secret" in written and "slack-secret" not in written and "pagerduty-secret" not in written


# Half of all requests fail, as an edge would count them.
BURN = """
for count in $(seq 0 50 20000); do
  for code in 2xx 5xx; do
    echo "sluice_edge_requests_total{app=\\"shop\\",release=\\"r1\\",code=\\"$code\\"} $count"
  done > /tmp/burn.tmp
  mv /tmp/burn.tmp /var/lib/prometheus/node-exporter/burn.prom
  sleep 2
done
"""


def test_a_gate_sees_a_burning_budget(mon1: Monitor, people: People) -> None:
    """The last one: an error budget does not recover soon."""
    mon1.must(f"cat > /tmp/burn.sh <<'END'\n{BURN}\nEND\nsystemd-run --unit=burn bash /tmp/burn.sh")
    try:
        until(lambda: "ErrorBudgetBurnsFast" in mon1.firing(), "the budget burns", seconds=300)
        assert gate_facts()["budgets"]["burning"] == ["availability"]
        until(lambda: gate_facts()["budgets"]["left"], "how much is left is known a little later", seconds=300)
        assert 0 < gate_facts()["budgets"]["left"]["availability"] < 1
        until(lambda: "FIRING: ErrorBudgetBurnsFast of shop" in people.titles(), "people hear of it")
    finally:
        mon1.must("systemctl stop burn; rm -f /var/lib/prometheus/node-exporter/burn.prom")
