# SPDX-License-Identifier: Apache-2.0
"""Two people change the app at once: one of them does, the other is told who, and nothing is done twice or half."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.images import Variants
from tests.support.lab import APP_HOSTS, MIGRATION, QUICK, Lab, health_window, until
from tests.support.load import Ask, Load
from tests.support.playbook import Started

ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/api/accountants", expect=(200,)))
SHORT = ("-e", "app_confirm_seconds=5", "-e", "app_lease_seconds=5", *health_window(10))
OTHER = "v1.2.0-other"
FLIP = "Flip | Send"


@pytest.fixture(scope="module")
def other(variant: Variants) -> str:
    """A version beside v1.1.0, with the same migrations and an image of its own."""
    return variant.push(OTHER, ["node", "dist/main.js", "--other"])


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> str:
    """v1.0.0 is live, and the migration of v1.1.0 is pending."""
    release = lab.ensure("v1.0.0")
    lab.unmigrate()
    return release


def live_version(lab: Lab) -> str:
    return (lab.live() or "").partition("-")[2]


def reached(started: Started, task: str) -> None:
    """Wait until a task has had its first result that was not skipped."""

    def seen() -> bool:
        return any(item["task"].startswith(task) and item["status"] != "skipped" for item in started.events())

    until(seen, 60, f"the run has reached {task}", pause=0.05)


def test_of_two_deploys_at_once_one_does_it_and_the_other_says_who(lab: Lab, begin: str, other: str) -> None:
    with Load(lab.url, *ASKS, rate=60) as load:
        both = [lab.start("deploy", "-e", f"app_version={tag}", *SHORT) for tag in ("v1.1.0", other)]
        runs = sorted((started.wait() for started in both), key=lambda run: run.code)
        winner, loser = runs
        winner.good()
        message = loser.error()
    assert re.search(r"deploy by \S+@\S+ \(run [0-9a-f]{12}\), started \d+ s ago", message), message
    assert "\n" not in message
    assert loser.ran(FLIP) == set()
    assert f"app_version={live_version(lab)} " in winner.command
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")  # a variant goes by the good one's name
    assert set(lab.leases().values()) == {None}
    assert [row[1:] for row in lab.migrations() if row[0].startswith(MIGRATION)] == [["t", "f", "1"]]
    assert load.report.failed == 0, str(load.report)


@pytest.mark.soak
def test_a_controller_that_slept_over_its_lease_changes_nothing_when_it_wakes(lab: Lab, begin: str, other: str) -> None:
    with Load(lab.url, *ASKS, rate=60) as load:
        sleeper = lab.start("deploy", "-e", "app_version=v1.1.0", *SHORT)
        try:
            reached(sleeper, "Start | Bring")
            sleeper.signal(signal.SIGSTOP)
            lab.deploy(other, *SHORT, "-e", "release_wait_seconds=60").good()
            before = lab.state()
            sleeper.signal(signal.SIGCONT)
            run = sleeper.wait()
        finally:
            if sleeper.running():
                sleeper.kill()
    message = run.error()
    assert "does not hold the lease of app marketplace on this host" in message, message
    assert "is still live" not in message, "it cannot know what is live now"
    assert run.ran("Confirm | Make") == set()
    assert lab.state() == before
    assert live_version(lab) == OTHER
    assert load.report.failed == 0, str(load.report)


def test_a_rollback_takes_the_app_from_a_deploy_that_is_under_way(lab: Lab, begin: str, other: str) -> None:
    lab.deploy("v1.1.0", *QUICK).good()
    with Load(lab.url, *ASKS, rate=60) as load:
        deploy = lab.start("deploy", "-e", f"app_version={other}", *SHORT)
        reached(deploy, "Pending | See")
        rollback = lab.rollback().good()
        run = deploy.wait()
    message = run.error()
    assert re.search(r"run [0-9a-f]{12} does not hold the lease of app marketplace on this host", message), message
    assert run.ran("Confirm | Make") == set()
    assert lab.live() == begin
    assert "is live (release" in rollback.output
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0")
    assert set(lab.leases().values()) == {None}
    assert load.report.failed == 0, str(load.report)

    history = lab.playbook("playbooks/app/history").good()
    lines = [line.strip() for line in history.output.splitlines()]
    newest = next(line for line in lines if re.search(r"#\d+ ", line))
    assert re.search(rf"#\d+ +rollback +confirmed +{begin} +by \S+@\S+", newest), newest
    assert any("-v1.1.0" in line and "deploy    confirmed" in line for line in lines)
    assert "rolled back later" in lines


@pytest.mark.soak
def test_a_lease_is_shown_and_broken_by_its_runs_id(lab: Lab, begin: str) -> None:
    # One that hangs: it lives, and nothing renews its lease.
    hung = lab.start("deploy", "-e", "app_version=v1.1.0", "-e", "app_lease_seconds=600")
    try:
        reached(hung, "Plan | Decide")
        hung.signal(signal.SIGSTOP)
        owner = set(lab.leases().values())
        assert len(owner) == 1 and None not in owner, "every host is fenced by the same run"
        (run_id,) = (str(one) for one in owner)
        refused = lab.deploy("v1.1.0").error()
        assert f"(run {run_id})" in refused and "\n" not in refused

        shown = lab.playbook("playbooks/app/lease").good().output
        for host in ("edge1", *APP_HOSTS):
            assert re.search(rf"{host} +deploy by \S+@\S+, run {run_id}, its lease ends in \d+ s", shown), shown
        wrong = lab.playbook("playbooks/app/lease", "-e", "lease_break=000000000000").error()
        assert run_id in wrong and "is no run that has marketplace" in wrong
        assert set(lab.leases().values()) == owner

        lab.playbook("playbooks/app/lease", "-e", f"lease_break={run_id}").good()
        assert "no run is active" in lab.playbook("playbooks/app/lease").good().output
        lab.deploy("v1.1.0", *QUICK).good()  # at once
        assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")
        before = lab.state()
        hung.signal(signal.SIGCONT)
        message = hung.wait().error()
        assert "does not hold the lease of app marketplace on this host" in message, message
        assert lab.state() == before
    finally:
        if hung.running():
            hung.kill()
