# SPDX-License-Identifier: Apache-2.0
"""What is live, as the hosts say it."""

from __future__ import annotations

from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import status
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger


def summary(fleet: Any, unreachable: dict[str, str] | None = None) -> status.Summary:
    for item in fleet.observed.values():
        item["lease"] = item["lease"] or {"run_id": None, "action": "", "who": ""}
    answered = {host: item for host, item in fleet.observed.items() if host not in (unreachable or {})}
    return status.summarise("shop", fleet.edges, fleet.apps, answered, unreachable or {})


def test_before_the_first_deploy_nothing_is_live(fleet: Any) -> None:
    found = summary(fleet)
    assert found["state"] == "none"
    assert status.lines(found)[0] == "shop: nothing is deployed"
    assert found["hosts"]["edge1"]["split"] == "503, nothing deployed"


def test_a_whole_release_is_live(fleet: Any) -> None:
    plan = fleet.run()
    found = summary(fleet)
    assert found["state"] == "live"
    assert found["manifest"]["id"] == plan["manifest"]["id"]
    assert status.lines(found)[0] == f"shop: live, v1.0.0, release {plan['manifest']['id']} in slot blue"


def test_what_was_live_before_is_known_of_a_release_that_was_begun_over_another(fleet: Any) -> None:
    first = fleet.run()["manifest"]["id"]
    assert summary(fleet)["previous"] is None
    fleet.version("v1.1.0")
    fleet.run()
    assert summary(fleet)["previous"] == first


def test_what_failed_beside_the_live_release_is_told_until_another_one_is_live(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    bad = fleet.plan()
    fleet.execute(bad, steps=("start",))
    assert summary(fleet)["failed_alongside"] == [bad["manifest"]["id"]]
    fleet.run()
    assert summary(fleet)["failed_alongside"] == []


def test_a_missing_container_or_a_late_edge_is_mixed(fleet: Any) -> None:
    fleet.edges.append("edge2")
    fleet.add("edge2")
    first = fleet.run()
    fleet.version("v1.1.0")
    fleet.run()
    excluded = fleet.observed["app2"]["containers"].pop()
    found = summary(fleet)
    assert (found["state"], found["partial"], found["lagging"]) == ("mixed", ["app2"], [])
    fleet.observed["app2"]["containers"].append(excluded)
    fleet.confirm("edge2", first["manifest"]["id"], "blue", first["token"])
    found = summary(fleet)
    assert (found["state"], found["partial"], found["lagging"]) == ("mixed", [], ["edge2"])


def test_a_silent_host_makes_it_incomplete_and_is_shown_with_its_reason(fleet: Any) -> None:
    fleet.run()
    found = summary(fleet, {"app2": "timed out"})
    assert found["state"] == "incomplete"
    assert "  app2       UNREACHABLE timed out" in status.lines(found)


def test_releases_are_listed_with_what_became_of_them(fleet: Any) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        fleet.version(version)
        fleet.run()
    fleet.run("rollback")
    assert [(one["version"], one["state"]) for one in summary(fleet)["releases"]] == [
        ("v1.0.0", "live"),
        ("v1.1.0", "rolled back"),
    ]


def test_a_flip_under_way_and_its_owner_are_shown(fleet: Any) -> None:
    plan = fleet.run()
    edge = fleet.observed["edge1"]["edge"]
    edge["record"]["pending"] = {"release": "r2", "slot": "green", "percent": 100}
    edge["pending_alive"] = True
    fleet.observed["edge1"]["lease"] = {"run_id": "abc", "action": "deploy", "who": "anna@build", "left": 55.0}
    found = summary(fleet)
    assert found["hosts"]["edge1"]["split"] == (
        f"blue {plan['manifest']['id']}; green r2 gets 100 % until it is confirmed or reverted"
    )
    assert any(line.endswith("deploy by anna@build (run abc)") for line in status.lines(found))
    assert status.lease_lines(found) == [
        "shop: locked by a run",
        "  edge1      deploy by anna@build, run abc, its lease ends in 55 s",
    ]


def test_maintenance_is_shown_with_its_beginning_and_who_is_let_in(fleet: Any) -> None:
    plan = fleet.run()
    record = fleet.observed["edge1"]["edge"]["record"]
    record["maintenance"] = {"since": 1795411800.5, "message": "Back soon.", "retry_after": 300, "allow": []}
    assert summary(fleet)["hosts"]["edge1"]["split"] == (
        f"MAINTENANCE since 2026-11-23 05:30 UTC, 503 to all clients; blue {plan['manifest']['id']}"
    )
    record["maintenance"]["allow"] = ["192.0.2.0/24", "2001:db8::/32"]
    assert any("503 to all but 192.0.2.0/24, 2001:db8::/32; blue" in line for line in status.lines(summary(fleet)))
    record["maintenance"] = None
    assert summary(fleet)["hosts"]["edge1"]["split"] == f"blue {plan['manifest']['id']}"


def test_nobody_has_the_app(fleet: Any) -> None:
    fleet.run()
    assert status.lease_lines(summary(fleet)) == ["shop: no run is active"]


def test_the_history_tells_which_hosts_a_run_went_on_without(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    plan = fleet.plan(excluded=frozenset({"app2"}))
    entry = {**fleet._entry("confirmed", plan), "without": plan["excluded"]}
    reported = status.history_lines("shop", ledger.merge([[entry]]), 1)
    assert reported[2] == "      without app2 (excluded or unreachable)"


def test_the_history_tells_the_newest_run_first_and_what_became_of_each(fleet: Any) -> None:
    fleet.run()
    fleet.version("v1.1.0")
    fleet.run()
    fleet.run("rollback")
    fleet.version("v1.2.0")
    fleet.execute(fleet.plan(), steps=("start",))
    lines = status.history_lines("shop", ledger.merge_texts(item["ledger"] for item in fleet.observed.values()), 3)
    assert lines[0] == "shop: 4 runs are recorded"
    assert [line.split()[1:4] for line in lines[1:] if "#" in line] == [
        ["#4", "deploy", "started"],
        ["#3", "rollback", "confirmed"],
        ["#2", "deploy", "confirmed"],
    ]
    assert lines[-1] == "      rolled back later"


def test_a_run_that_was_killed_is_nobody_who_changes_the_app(fleet: Any) -> None:
    fleet.run()
    fleet.observed["app1"]["lease"] = {"run_id": "abc", "action": "deploy", "who": "anna@build", "left": 0.0}
    found = summary(fleet)
    assert any("deploy by anna@build (run abc), expired, not released" in line for line in status.lines(found))
    assert status.lease_lines(found) == [
        "shop: no run is active",
        "  app1       deploy by anna@build, run abc, expired, not released",
    ]


def test_certificates_and_their_problems_are_in_the_status(fleet: Any) -> None:
    fleet.run()
    fleet.observed["edge1"]["edge"]["certificates"] = {
        "time": 1000.0,
        "age": 86400.0,
        "names": [{"name": "a.test", "ends": 1000.0 + 11 * 86400, "issuer": "E7"}, {"name": "b.test"}],
        "problems": ["b.test: no certificate yet"],
    }
    found = summary(fleet)
    assert "  edge1      TLS    a.test       10 days left, by E7" in status.lines(found)
    assert status.problems(found) == ["edge1      CERTIFICATE b.test: no certificate yet"]
    assert "  edge1      CERTIFICATE b.test: no certificate yet" in status.lines(found)
    fleet.observed["edge1"]["edge"]["certificates"]["age"] = 200_000.0
    assert "has not run for 2 days" in status.problems(summary(fleet))[0]


def test_a_rotated_secret_has_an_age(fleet: Any) -> None:
    fleet.run()
    for item in fleet.observed.values():
        item["lease"] = item["lease"] or {"run_id": None, "action": "", "who": ""}
    old = {"DATABASE_URL": {"kind": "postgres", "max_age_days": 30.0}, "OTHER": {"max_age_days": None}}
    found = status.summarise("shop", fleet.edges, fleet.apps, fleet.observed, {}, old)
    # Since the fleet's first deploy, of 2026-11-22.
    days = found["secrets"].pop("DATABASE_URL")["days"]
    assert found["secrets"] == {} and days > 0
    late = {**found, "secrets": {"DATABASE_URL": {"days": 42.4, "max_age_days": 30.0}}}
    advice = "in use for 42 days, more than 30: playbooks/secrets/rotate.yml -e secret=DATABASE_URL"
    assert f"  secret     DATABASE_URL, {advice}" in status.lines(late)
