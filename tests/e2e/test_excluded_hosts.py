# SPDX-License-Identifier: Apache-2.0
"""A host is lost in the middle of a release, or after it: what is served goes on being served, and the report names the host."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.lab import APP, APP_HOSTS, QUICK, RECORD, Lab, health_window, slow_flip, until
from tests.support.load import Ask, Load
from tests.support.playbook import Started

ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/", expect=(200,)))

SHORT = ("-e", "app_lease_seconds=5", *health_window(10))


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> str:
    """v1.0.0 is live on both hosts."""
    return lab.ensure("v1.0.0")


def flipping(lab: Lab) -> Started:
    """A deploy of v1.1.0 that has flipped the edge, and is about to ask for the release through it for two seconds."""
    started = lab.start("deploy", "-e", "app_version=v1.1.0", *SHORT, *slow_flip())
    lab.shell(
        "edge1", f'timeout 60 sh -c \'while grep -q "\\"pending\\": null" {RECORD}; do sleep 0.02; done\'', timeout=70
    )
    return started


@pytest.mark.soak
def test_a_host_that_falls_silent_after_the_flip_is_named_and_nothing_else(lab: Lab, begin: str) -> None:
    """It serves the new release already; the controller has only to tell it that this is recorded."""
    with Load(lab.url, *ASKS, rate=60) as load:
        started = flipping(lab)
        with lab.silent("app2"):
            run = started.wait().good()
        time.sleep(1)
    assert run.ran("Confirm | Make") == {"edge1"}
    assert "retire: app2: cannot be reached" in run.output
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")
    assert load.report.failed == 0, str(load.report)
    # The same command again does for that host what is left.
    lab.deploy("v1.1.0", *SHORT, *slow_flip(), "-e", "release_wait_seconds=60").good()
    held = {host: {item["release"] for item in lab.containers(host).values()} for host in APP_HOSTS}
    until(lambda: set(lab.leases().values()) == {None}, 5, "nobody has the app")
    assert all(lab.live() in releases for releases in held.values())


def test_a_release_that_dies_between_flip_and_confirm_is_put_back(lab: Lab, begin: str) -> None:
    idle = "green" if (lab.record() or {})["confirmed"]["slot"] == "blue" else "blue"
    started = flipping(lab)
    for host in APP_HOSTS:
        lab.shell(host, f"docker ps -q --filter label=stack.sluice.slot={idle} | xargs docker kill >/dev/null")
    message = started.wait().error()
    assert message.startswith("deploy failed in step flip: edge1: release "), message
    assert "does not answer through the edge" in message
    assert "The flip was reverted" in message
    assert f"Release {begin} is still live" in message
    assert lab.live() == begin
    # From here on nobody meets what died.
    with Load(lab.url, *ASKS, rate=60) as load:
        time.sleep(2)
    assert load.report.failed == 0, str(load.report)
    assert set(load.report.versions) == {"v1.0.0"}


def test_visitors_of_a_host_that_is_cut_off_are_sent_to_the_other(lab: Lab, begin: str, artefacts: Path) -> None:
    with Load(lab.url, *ASKS, rate=60) as during:
        time.sleep(1)
        with lab.cut_off("app2"):
            time.sleep(12)
            with Load(lab.url, *ASKS, rate=60) as after:
                time.sleep(6)
    (artefacts / "cut-off.txt").write_text(f"from the cut on: {during.report}\n12 s later: {after.report}\n")
    print(during.report, after.report, sep="\n")
    # What was in flight is lost at most; see docs/architecture.md, "Known limits".
    assert during.report.failed <= during.report.total * 0.05, str(during.report)
    assert after.report.failed == 0, str(after.report)
    assert len(after.report.hosts) == 1, str(after.report)
    until(lambda: lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0"), 30, "both hosts serve again")


def test_a_rollback_goes_on_without_a_silent_host_and_the_next_deploy_takes_it_in(lab: Lab, begin: str) -> None:
    def upstreams() -> set[str]:
        text = lab.shell("edge1", f"cat /etc/nginx/sluice/{APP}.conf")
        return {host for host in APP_HOSTS if f"server {lab.address(host)}:" in text}

    lab.deploy("v1.1.0", *QUICK).good()
    assert upstreams() == set(APP_HOSTS)
    with Load(lab.url, *ASKS, rate=60) as load, lab.silent("app2"):
        run = lab.rollback(*QUICK).good()
        assert lab.live() == begin
        assert upstreams() == {"app1"}
        assert lab.served() == {"app1": "v1.0.0"}
    assert "without    app2 (excluded)" in run.output
    # The price is one reload of Nginx, which may cost a client that just writes into an idle connection its request.
    print(load.report)
    assert load.report.failed <= 2, str(load.report)

    lab.deploy("v1.1.0", *QUICK).good()
    assert upstreams() == set(APP_HOSTS)
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")
    held = {item["release"] for item in lab.containers("app2").values()}
    assert held == {lab.live()}, "what the host held from before is gone"
