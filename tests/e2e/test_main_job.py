# SPDX-License-Identifier: Apache-2.0
"""The main job: deploy, deploy the next version, the same again, roll back, change one value of the environment."""

from __future__ import annotations

import json

import pytest

from tests.support.lab import APP_HOSTS, MIGRATION, QUICK, Lab
from tests.support.playbook import Run

FLIP = "Flip | Send"


def serve(version: str) -> dict[str, str]:
    """What ``Lab.served`` returns when every app host serves a version."""
    return dict.fromkeys(APP_HOSTS, version)


# Each fixture goes one step on from the one before, so that a test can be run alone and all of them share the steps.


@pytest.fixture(scope="module")
def nothing(lab: Lab) -> None:
    """No release was ever deployed on these hosts, and the migration of v1.1.0 is not in the database."""
    lab.forget()
    lab.sql(
        "do $$ begin if to_regclass('\"_prisma_migrations\"') is not null then "
        f"delete from \"_prisma_migrations\" where migration_name like '{MIGRATION}%'; "
        'alter table "CharteredAccountant" drop column if exists specialty; end if; end $$'
    )


@pytest.fixture(scope="module")
def first(lab: Lab, nothing: None) -> Run:
    """v1.0.0 was deployed on fresh hosts."""
    run = lab.deploy("v1.0.0").good()
    lab.seed()
    return run


@pytest.fixture(scope="module")
def upgraded(lab: Lab, first: Run) -> Run:
    """v1.1.0 was deployed over it."""
    return lab.deploy("v1.1.0", *QUICK).good()


@pytest.fixture(scope="module")
def rolled_back(lab: Lab, upgraded: Run) -> Run:
    """v1.1.0 was rolled back."""
    return lab.rollback(*QUICK).good()


def test_before_the_first_deploy_the_edge_says_so(lab: Lab, nothing: None) -> None:
    assert lab.ask("/").status == 503


def test_seeding_again_adds_nothing(lab: Lab, first: Run) -> None:
    rows = 'select count(*) from "CharteredAccountant"'
    before = lab.sql(rows)
    assert before != [["0"]]
    lab.seed()
    assert lab.sql(rows) == before


def test_the_page_and_an_answer_from_the_database_are_served(lab: Lab, first: Run) -> None:
    page = lab.ask("/")
    assert page.status == 200
    assert 'id="root"' in page.text
    assert lab.served() == serve("v1.0.0")
    assert len(lab.migrations()) == 1

    shown = lab.ask("/api/accountants").json()["accountants"][0]
    query = f"select city, headline from \"CharteredAccountant\" where id = '{shown['id']}'"
    assert lab.sql(query) == [[shown["city"], shown["headline"]]]

    # An answer that did not come from this row would not follow it.
    lab.sql(f"update \"CharteredAccountant\" set city = 'Atlantis' where id = '{shown['id']}'")
    try:
        assert lab.ask("/api/accountants").json()["accountants"][0]["city"] == "Atlantis"
    finally:
        lab.sql(f"update \"CharteredAccountant\" set city = '{shown['city']}' where id = '{shown['id']}'")


def test_check_mode_prints_the_plan_and_changes_nothing(lab: Lab, first: Run) -> None:
    before = lab.state()
    run = lab.deploy("v1.1.0", "--check", "--diff").good()
    assert "Deploy marketplace v1.1.0 as release" in run.output
    for step in ("migrate", "start      app1", "start      app2", "flip       edge1", "retire"):
        assert step in run.output, step
    assert "nothing was changed" in run.output
    assert run.ran(FLIP) == set()
    assert lab.state() == before


def test_the_next_version_is_served_by_both_hosts(lab: Lab, upgraded: Run) -> None:
    assert lab.served() == serve("v1.1.0")
    assert upgraded.ran(FLIP) == {"edge1"}
    for host in APP_HOSTS:
        held = lab.containers(host).values()
        assert {item["release"] for item in held} == {lab.live()}, "the old release was not retired"
        assert {item["state"] for item in held} == {"running"}
    assert set(lab.leases().values()) == {None}


def test_the_migration_was_applied_exactly_once(lab: Lab, upgraded: Run) -> None:
    rows = [row for row in lab.migrations() if row[0].startswith(MIGRATION)]
    assert [row[1:] for row in rows] == [["t", "f", "1"]], "one row: finished, not rolled back, one step"
    assert upgraded.ran("Migrate | Apply") == {"app1"}
    assert lab.sql('select count(*) > 0 from "CharteredAccountant" where specialty is not null') == [["t"]]


def test_deploying_what_runs_changes_nothing(lab: Lab, upgraded: Run) -> None:
    before = lab.state()
    run = lab.deploy("v1.1.0").good()
    assert "already runs" in run.output
    assert run.changed() == {}
    assert lab.state() == before


def test_status_logs_and_run_look_at_the_live_release(lab: Lab, upgraded: Run) -> None:
    before = lab.state()
    status = lab.playbook("status").good()
    assert f"marketplace: live, v1.1.0, release {lab.live()}" in status.output
    for host in APP_HOSTS:
        assert f"{host} " in status.output

    lab.ask("/api/accountants/00000000-0000-4000-8000-00000000e2e0/slots")
    logs = lab.playbook("logs", "-e", "logs_service=backend", "-e", "logs_lines=20").good()
    text = "".join(logs.output.split())
    assert '"route":"/api/accountants/:id/slots","status":404' in text, "the request just made"
    assert all(f"{host}marketplace/backend{lab.live()}" in text for host in APP_HOSTS)
    one = ("-e", "logs_from=all", "-e", "logs_regexp=e2e[0]/slots", "-e", "logs_since=10m", "-e", "logs_follow=1")
    found = [line.split() for line in lab.playbook("logs", *one).good().output.splitlines()]
    assert {"edge1", *APP_HOSTS} >= {line[1] for line in found} >= {"edge1"}, found
    assert sorted(line[0] for line in found) == [line[0] for line in found]
    assert all(line[2:4] == ["marketplace/backend", lab.live()] and "e2e0/slots" in " ".join(line) for line in found)

    one_off = lab.run("backend", "node", "-e", "console.log(process.env.APP_VERSION, 6 * 7)").good()
    assert "v1.1.0 42" in one_off.output
    assert lab.state() == before


def test_a_rollback_serves_the_version_before(lab: Lab, rolled_back: Run) -> None:
    assert lab.served() == serve("v1.0.0")
    assert rolled_back.ran("Migrate | Apply") == set()
    # The schema stays: v1.0.0 runs on it as well.
    assert len(lab.migrations()) == 2


def test_a_second_rollback_has_nothing_to_go_back_to(lab: Lab, rolled_back: Run) -> None:
    before = lab.state()
    message = lab.rollback().error()
    assert "every earlier confirmed release was itself rolled back" in message
    assert "release_to" in message
    assert "\n" not in message
    assert lab.state() == before


def test_one_value_of_the_environment_is_a_release(lab: Lab, rolled_back: Run) -> None:
    before = lab.live()
    migrations = lab.migrations()
    banner = "Closed on Friday"
    run = lab.deploy("v1.0.0", *QUICK, "-e", json.dumps({"app_extra": {"banner": banner}})).good()
    assert "changes    services.backend.env.BANNER" in run.output
    assert lab.ask("/api/version").json()["banner"] == banner
    assert lab.served() == serve("v1.0.0")
    assert lab.live() != before
    assert lab.migrations() == migrations

    lab.rollback(*QUICK).good()
    assert lab.ask("/api/version").json()["banner"] == ""
    assert lab.live() == before
