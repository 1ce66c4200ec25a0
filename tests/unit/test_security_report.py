# SPDX-License-Identifier: Apache-2.0
"""Waivers, severities, the table and the verdict of the security audit."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.security import check, declared, report
from ansible_collections.sluice.stack.plugins.module_utils.security.check import Check, Look, WaiverError

TODAY = date(2026, 11, 28)
KNOWN, HOSTS = ("ports", "upgrades"), ("app1", "app2")
WAIVER = {"check": "ports", "reason": "a partner", "until": "2026-11-28"}


def look(*problems: str, name: str = "ports", host: str = "app1", **more: str) -> Look:
    return Look(name, host, "high", "close it", problems, **{"fine": "none open", **more})


def accepted(**changes: Any) -> list[check.Waiver]:
    return check.waivers([{**WAIVER, **changes}], KNOWN, HOSTS)


def test_a_check_is_ok_failed_or_unknown() -> None:
    assert check.judge(look(), [], TODAY) == Check("ports", "ok", "none open", "", "app1", "high")
    assert check.judge(look("21", "25"), [], TODAY) == Check("ports", "failed", "21; 25", "close it", "app1", "high")
    assert check.judge(look("21", unknown="no way"), [], TODAY).state == "unknown"


def test_a_waiver_counts_until_its_last_day_and_not_longer() -> None:
    waived = check.judge(look("21 is open", "25 is open"), accepted(), TODAY)
    assert waived.state == "waived" and waived.evidence == "until 2026-11-28, a partner: 21 is open, 25 is open"
    row = check.judge(look("21 is open"), accepted(until="2026-11-27"), TODAY)
    assert row.state == "failed" and row.evidence == "21 is open (its waiver ended on 2026-11-27)"


@pytest.mark.parametrize("changes", [{"hosts": ["app2"]}, {"only": "25"}, {"check": "upgrades"}])
def test_a_waiver_is_for_its_check_hosts_and_problems_only(changes: dict[str, Any]) -> None:
    assert check.judge(look("21 is open"), accepted(**changes), TODAY).state == "failed"


def test_a_problem_that_no_waiver_covers_fails_alone() -> None:
    row = check.judge(look("21 is open", "25 is open"), accepted(only="21"), TODAY)
    assert row.state == "failed" and row.evidence == "25 is open"


def test_a_waiver_that_ended_and_covers_nothing_is_to_be_removed() -> None:
    assert check.stale(accepted(until="2026-11-27"), [look()], TODAY).problems == ("ports, ended on 2026-11-27",)
    assert check.stale(accepted(until="2026-11-27"), [look("21")], TODAY).problems == ()
    assert check.stale(accepted(), [look()], TODAY).problems == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ports", "security_waivers is not a list"),
        ([{**WAIVER, "check": "prots"}], r"security_waivers\[0\].check is 'prots': did you mean 'ports'\?"),
        ([{**WAIVER, "hosts": ["app11"]}], r"security_waivers\[0\].hosts names 'app11': did you mean 'app1'\?"),
        ([{**WAIVER, "until": "soon"}], "until is 'soon': write a day as 2027-06-30"),
        ([{**WAIVER, "reason": " "}], "reason is missing"),
        ([{**WAIVER, "untl": "x"}], "untl is unknown: did you mean 'until'"),
        (["ports"], "an entry has check, reason and until"),
    ],
)
def test_a_waiver_that_is_wrong_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(WaiverError, match=message) as caught:
        check.waivers(given, KNOWN, HOSTS)
    assert "\n" not in str(caught.value)


ROWS = [
    Check("ports", "failed", "21 is open", "close it", "app1", "critical"),
    Check("upgrades", "failed", "openssl", "upgrade", "app1", "medium"),
    Check("upgrades", "failed", "openssl", "upgrade", "app2", "medium"),
    Check("lynis", "unknown", "no report", "run it", "app1", "low"),
    Check("firewall", "ok", "loaded", "", "app1", "high"),
    Check("firewall", "ok", "loaded, too", "", "app2", "high"),
]


def test_the_table_has_the_worst_first_and_hosts_that_are_alike_once() -> None:
    assert report.lines(ROWS[::-1]) == [
        "  failed   critical  ports                 app1",
        "                     21 is open",
        "                     → close it",
        "  failed   medium    upgrades              app1 app2",
        "                     openssl",
        "                     → upgrade",
        "  unknown  low       lynis                 app1",
        "                     no report",
        "                     → run it",
        "  ok                 firewall              app1 app2",
        "  6 checks: 2 ok, 0 waived, 1 unknown, 3 failed",
    ]


def test_only_what_is_severe_enough_fails_the_audit() -> None:
    assert report.verdict(ROWS, "high").startswith("1 check failed with severity high or higher: ports on app1.")
    assert "3 checks" in report.verdict(ROWS, "medium")
    assert report.verdict(ROWS[1:], "high") == ""
    assert report.data(ROWS[1:], "high", "now")["ok"] is True and report.data(ROWS, "high", "now")["ok"] is False


RULES = declared.rules(
    [
        {"ports": [80, "8000-8010"], "from": ["any"]},
        {"ports": ["5432"], "from": ["10.0.0.0/24", "fd00::1"]},
        {"ports": [443], "from": ["any"], "protocol": "udp"},
        {"ports": [6379], "from": []},
    ]
)


def test_a_port_is_open_to_whom_it_is_declared_for() -> None:
    assert declared.open_to(RULES, 80, []) and declared.open_to(RULES, 8005, [])
    assert declared.open_to(RULES, 5432, ["10.0.0.9"]) and declared.open_to(RULES, 5432, ["fd00::1"])
    assert not declared.open_to(RULES, 5432, ["10.0.1.9", "fd00::2"])
    assert declared.to_anybody(RULES, 5432)
    for port in (443, 6379, 8011):
        assert not declared.open_to(RULES, port, ["10.0.0.9"]) and not declared.to_anybody(RULES, port)


def test_what_is_tried_has_bounds_and_begins_with_what_listens() -> None:
    tried = declared.to_try(RULES, [9999, 22], never=[22])
    assert tried[0] == 9999 and {80, 8000, 8010, 5432, 2375} <= set(tried) and 22 not in tried
    assert len(declared.to_try(RULES, range(1000, 3000), never=[])) == declared.MOST
