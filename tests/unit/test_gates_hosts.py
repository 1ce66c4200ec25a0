# SPDX-License-Identifier: Apache-2.0
"""Gates that are judged by what hosts said, by the clock and by Prometheus."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import gates as contract_gates
from ansible_collections.sluice.stack.plugins.module_utils.gates import from_hosts, window
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import Result
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import firing as monitoring
from ansible_collections.sluice.stack.plugins.modules import gate_facts

NOW = 1_795_389_300.0
HOUR, DAY = 3600.0, 86400.0


def facts_of(fleet: Any, version: str = "v1.0.0", **more: Any) -> Facts:
    """The facts of the fleet in memory."""
    for item in fleet.observed.values():
        item["lease"] = item["lease"] or {"run_id": None, "action": "", "who": ""}
    hosts = {host: {"observation": item, "memory_free": 2**30} for host, item in fleet.observed.items()}
    return Facts(NOW, "shop", version, "production", edges=fleet.edges, apps=fleet.apps, hosts=hosts, **more)


def without(facts: Facts, host: str) -> Facts:
    """The same when a host did not answer."""
    hosts = {name: item for name, item in facts.hosts.items() if name != host}
    return replace(facts, hosts=hosts, unanswered={host: "no route"})


def asked(name: str, facts: Facts, **options: Any) -> Result:
    judge = window.window if name == "window" else getattr(from_hosts, name)
    return judge(facts, {**(contract_gates.default_options(name) or {}), **options})


# backup and drill


def backups(**more: Any) -> Facts:
    answer = {
        "backups": {"sluice-backup": {"problems": [], "newest": {"": NOW - 3 * HOUR}}},
        "drill": {"verdict": "proved", "begun": NOW - DAY},
    }
    return Facts(
        NOW, "shop", "v1", "production", database="db1", engine="pgbackrest", hosts={"db1": {**answer, **more}}
    )


def test_a_young_backup_and_a_young_drill_pass() -> None:
    assert asked("backup", backups()) == Result("backup", "ok", "db1: the oldest of the newest is 3 h old")
    assert asked("drill", backups()).state == "ok"


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        ({"problems": ["main: unreachable"], "newest": {"": NOW}}, "db1: sluice-backup: main: unreachable"),
        (
            {"problems": [], "newest": {"": NOW - 27 * HOUR}},
            "db1: sluice-backup: the newest is 27 h old, more than 26 h",
        ),
        ({"problems": [], "newest": {}}, "db1: sluice-backup: there is none yet"),
        (
            {"problems": [], "newest": {"/a": NOW, "/b": NOW - 30 * HOUR}},
            "db1: sluice-backup: the newest of /b is 30 h old, more than 26 h",
        ),
    ],
)
def test_a_backup_that_is_unhealthy_or_old_fails(answer: dict[str, Any], evidence: str) -> None:
    found = asked("backup", backups(backups={"sluice-backup": answer}))
    assert (found.state, found.evidence) == ("failed", evidence)


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (None, "db1: no restore was ever tried"),
        (
            {"verdict": "failed", "begun": NOW, "reason": "a hole in the WAL"},
            "db1: the last drill failed: a hole in the WAL",
        ),
        ({"verdict": "proved", "begun": NOW - 9 * DAY}, "db1: a restore was proved 9 days ago, more than 8 days"),
    ],
)
def test_a_drill_that_failed_or_is_old_fails(record: Any, evidence: str) -> None:
    assert asked("drill", backups(drill=record)).evidence == evidence


def test_a_database_that_did_not_answer_or_is_elsewhere_is_unknown() -> None:
    gone = replace(backups(), hosts={}, unanswered={"db1": "no route"})
    for name in ("backup", "drill"):
        assert (asked(name, gone).state, asked(name, gone).evidence) == ("unknown", "db1: no route")
        assert asked(name, replace(backups(), hosts={}, database="", engine="external")).state == "unknown"


def test_the_newest_backup_of_each_source_is_looked_for_in_all_repositories() -> None:
    first = {"backups": [{"source": "", "ended": 5.0}, {"source": "/a", "ended": 1.0}]}
    assert gate_facts.newest([first, {"backups": [{"source": "", "ended": 7.0}]}]) == {"": 7.0, "/a": 1.0}


def test_a_backup_program_that_is_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate_facts.backup_of("sluice-nothing")["problems"] == ["it is not installed: provision.yml does that"]


# the release


def test_a_rollback_target_is_the_whole_live_release(fleet: Any) -> None:
    assert asked("rollback_target", facts_of(fleet)).state == "failed", "nothing is live"
    first = fleet.run()["manifest"]["id"]
    assert asked("rollback_target", facts_of(fleet, "v1.1.0")) == Result("rollback_target", "ok", f"release {first}")
    fleet.observed["app2"]["containers"].pop()
    found = asked("rollback_target", facts_of(fleet, "v1.1.0"))
    assert (found.state, found.evidence) == ("failed", f"release {first} is mixed: app2")


def test_after_the_deploy_the_target_is_the_release_before(fleet: Any) -> None:
    first = fleet.run()["manifest"]["id"]
    fleet.version("v1.1.0")
    fleet.run()
    assert asked("rollback_target", facts_of(fleet, "v1.1.0")).evidence == f"release {first}"


def test_a_version_is_live_when_every_host_has_it(fleet: Any) -> None:
    assert asked("live", facts_of(fleet)).evidence == "nothing is live"
    release = fleet.run()["manifest"]["id"]
    assert asked("live", facts_of(fleet)) == Result("live", "ok", f"v1.0.0, release {release}, on app1, app2")
    assert asked("live", facts_of(fleet, "v1.1.0")).evidence == f"v1.0.0, release {release}, not v1.1.0"
    assert asked("live", without(facts_of(fleet), "app2")).state == "failed"
    # What other hosts do not answer is no part of the release.
    assert asked("live", replace(facts_of(fleet), unanswered={"db1": "no route"})).state == "ok"


def test_an_edge_that_did_not_answer_is_unknown(fleet: Any) -> None:
    fleet.run()
    for name in ("rollback_target", "certificates"):
        assert asked(name, without(facts_of(fleet), "edge1")) == Result(
            name, "unknown", "edge1: no route", "bring it back, or exclude it with -e release_exclude_hosts=name"
        )


def test_certificates_last_long_enough(fleet: Any) -> None:
    edge = fleet.observed["edge1"]["edge"]
    assert asked("certificates", facts_of(fleet)).evidence == "no host name has TLS"
    name = {"name": "shop.example.com", "ends": NOW + 30 * DAY, "issuer": "CA"}
    edge["certificates"] = {"time": NOW - 60, "age": 60, "names": [name, {"name": "new.example.com"}], "problems": []}
    assert asked("certificates", facts_of(fleet)).evidence == "1 certificates, the first ends in 30 days"
    assert (
        asked("certificates", facts_of(fleet), days=31).evidence
        == "edge1: shop.example.com ends in 30 days, less than 31 days"
    )
    edge["certificates"] |= {"problems": ["failing since Monday"]}
    assert asked("certificates", facts_of(fleet)).evidence == "edge1: failing since Monday"
    edge["certificates"] |= {"problems": [], "age": 2 * DAY}
    assert asked("certificates", facts_of(fleet)).state == "failed", "nobody has looked for two days"


def test_capacity_is_that_of_the_fullest_host(fleet: Any) -> None:
    assert (
        asked("capacity", facts_of(fleet)).evidence
        == "at least 50.0 GiB of disk and 1.0 GiB of memory free on each app host"
    )
    fleet.observed["app2"]["disk_free"] = 2**30
    assert asked("capacity", facts_of(fleet)).evidence == "app2: 1.0 GiB of disk free, less than 2.0 GiB"
    assert asked("capacity", facts_of(fleet), disk=2**20).state == "ok"
    assert asked("capacity", facts_of(fleet), disk=0, memory=2**31).state == "failed"
    assert asked("capacity", without(facts_of(fleet), "app2")).state == "unknown"
    assert gate_facts.memory_free() > 2**20


# the clock


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        ("2026-11-26T08:59:59+02:00", False),  # a Thursday
        ("2026-11-26T09:00:00+02:00", True),
        ("2026-11-26T15:59:59+02:00", True),
        ("2026-11-26T16:00:00+02:00", False),
        ("2026-11-26T13:30:00+00:00", True),
        ("2026-11-27T12:00:00+02:00", False),  # a Friday
        ("2026-07-02T09:30:00+03:00", True),  # in summer
        ("2026-07-02T06:30:00+00:00", True),
    ],
)
def test_a_window_is_local_time(when: str, inside: bool) -> None:
    facts = Facts(datetime.fromisoformat(when).timestamp(), "shop", "v1", "production")
    options = {"days": ["mon", "tue", "wed", "thu"], "from": 540, "to": 960, "time_zone": "Europe/Athens"}
    assert asked("window", facts, **options).state == ("ok" if inside else "failed")


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        ("2026-11-26T22:00:00+00:00", True),  # Thursday night
        ("2026-11-27T03:59:00+00:00", True),
        ("2026-11-27T04:00:00+00:00", False),
        ("2026-11-27T22:30:00+00:00", False),  # Friday night
        ("2026-11-26T03:00:00+00:00", False),  # Wednesday night
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_begins_on(when: str, inside: bool) -> None:
    facts = Facts(datetime.fromisoformat(when).timestamp(), "shop", "v1", "production")
    options = {"days": ["thu"], "from": 22 * 60, "to": 4 * 60}
    assert asked("window", facts, **options).state == ("ok" if inside else "failed")


# alerts


def test_alerts_are_configured_and_quiet() -> None:
    def prometheus(**more: Any) -> Facts:
        return Facts(
            NOW, "shop", "v1", "production", alerts={"rules": [{"name": "Down", "health": "ok"}], "firing": [], **more}
        )

    options = {"url": "http://prometheus:9090", "firing": ["critical"]}
    assert asked("alerts", prometheus(), **options).state == "ok"
    assert asked("alerts", prometheus(rules=[]), **options).evidence == "http://prometheus:9090 has no alerting rules"
    assert asked("alerts", prometheus(rules=[{"name": "Down", "health": "err"}]), **options).state == "failed"
    assert (
        asked("alerts", prometheus(firing=[{"name": "Down", "severity": "critical"}]), **options).evidence
        == "firing: Down"
    )
    assert asked("alerts", prometheus(firing=[{"name": "Down", "severity": "warning"}]), **options).state == "ok"
    for nothing in ({}, {"error": "refused"}):
        assert asked("alerts", replace(prometheus(), alerts=nothing), **options).state == "unknown"


def test_a_prometheus_that_is_down_is_said_in_one_line() -> None:
    for answer in (monitoring.alerts("http://127.0.0.1:9"), monitoring.budgets("http://127.0.0.1:9", "shop")):
        (key, line), *more = answer.items()
        assert key == "error" and not more
        assert "\n" not in line and line.startswith("no answer of Prometheus's")


# error_budget


@pytest.mark.parametrize(
    ("budgets", "state", "evidence"),
    [
        (
            {"left": {"availability": 0.4, "latency_p99": 1}, "burning": []},
            "ok",
            "left: 40% of availability, 100% of latency_p99",
        ),
        ({"left": {"availability": 0.1}, "burning": []}, "failed", "left: 10% of availability, not more than 20%"),
        ({"left": {"availability": -0.5}, "burning": []}, "failed", "left: -50% of availability, not more than 20%"),
        ({"left": {"availability": 0.9}, "burning": ["availability"]}, "failed", "it burns too fast: availability"),
        ({"left": {}, "burning": ["availability"]}, "failed", "it burns too fast: availability"),
        ({"left": {}, "burning": []}, "unknown", "Prometheus knows no error budget of shop"),
        ({"error": "refused"}, "unknown", "Prometheus: refused"),
        ({}, "unknown", "Prometheus: not asked: no host of group monitors answered"),
    ],
)
def test_a_release_needs_an_error_budget(budgets: dict[str, Any], state: str, evidence: str) -> None:
    found = asked("error_budget", Facts(NOW, "shop", "v1", "production", budgets=budgets), least=0.2, wait=0)
    assert (found.state, found.evidence) == (state, evidence)


@pytest.mark.parametrize("burning", [0, 1, 9])
def test_it_waits_for_a_burn_to_end(monkeypatch: pytest.MonkeyPatch, burning: int) -> None:
    """It is asked again until none burns, or the time is over."""
    looks = iter([{"left": {}, "burning": ["availability"]}] * burning + [{"left": {}, "burning": []}])
    monkeypatch.setattr(monitoring, "budgets", lambda url, app: next(looks))
    monkeypatch.setattr(monitoring, "PAUSE", 0.01)
    found = monitoring.settled("http://127.0.0.1:9", "shop", 0.0 if burning == 9 else 5.0)
    assert found["burning"] == (["availability"] if burning == 9 else [])


# flags


@pytest.mark.parametrize(
    ("asked_for", "told", "state", "evidence"),
    [
        ([], [None, None], "ok", "0 that the code asks for are in Unleash"),
        (["payment"], [["payment", "more"], ["payment"]], "ok", "1 that the code asks for are in Unleash"),
        (["payment"], [["payment"], ["more"]], "failed", "not in Unleash: app2: payment"),
        (["payment"], [["payment"], None], "unknown", "app2: Unleash has told nothing yet"),
    ],
)
def test_flags_that_the_code_asks_for_are_in_unleash(
    asked_for: list[str], told: list[list[str] | None], state: str, evidence: str
) -> None:
    hosts = {f"app{number}": {"observation": {"flags": names}} for number, names in enumerate(told, start=1)}
    facts = Facts(NOW, "shop", "v1", "production", flags=asked_for, apps=sorted(hosts), hosts=hosts)
    result = asked("flags", facts)
    assert (result.state, result.evidence) == (state, evidence)
    if asked_for:
        assert asked("flags", without(facts, "app2")).state == "unknown"
