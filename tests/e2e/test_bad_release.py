# SPDX-License-Identifier: Apache-2.0
"""A release that cannot serve, and a host that cannot be reached: the old release is still live, and nothing flips."""

from __future__ import annotations

from tests.support.images import CRASH, LOCAL, UNHEALTHY, Variants
from tests.support.lab import APP_HOSTS, Lab, health_window
from tests.support.load import Ask, Load

FLIP = "Flip | Send"
NEXT = Ask("GET", "/api/version", expect=(200,))


def test_an_image_that_is_never_healthy_gets_no_traffic(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    tag = variant.push("v1.2.0-unhealthy", UNHEALTHY)
    before = lab.record()
    with Load(lab.url, NEXT, rate=80) as load:
        run = lab.deploy(tag, *health_window(4))
    message = run.error()
    first, *log = message.split("\n")
    assert first.startswith("deploy failed in step start: ")
    assert f"Release {v1_0_0} is still live" in first
    assert "not healthy within 4 s" in first
    assert "status 503 instead of 200" in first
    assert any(f"{host}: container marketplace-backend-" in first for host in APP_HOSTS)
    assert any("cannot warm up: the cache is cold" in line for line in log)
    assert run.ran(FLIP) == set()
    assert lab.record() == before
    assert load.report.failed == 0, str(load.report)
    assert set(load.report.versions) == {"v1.0.0"}, str(load.report)


def test_an_image_that_listens_for_itself_alone_is_told_so(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    tag = variant.push("v1.2.0-local", LOCAL)
    before = lab.record()
    run = lab.deploy(tag, *health_window(3))
    first = run.error().split("\n")[0]
    assert "not healthy within 3 s" in first
    assert (
        "it listens on 127.0.0.1:4000 only, which is not reachable from outside the container: have it listen on 0.0.0.0"
        in first
    )
    assert run.ran(FLIP) == set()
    assert lab.record() == before


def test_an_image_that_crashes_at_boot_fails_the_deploy_at_once(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    tag = variant.push("v1.2.0-crash", CRASH)
    before = lab.record()
    with Load(lab.url, NEXT, rate=80) as load:
        # A deploy that waited for the health window would be killed, and fail here.
        run = lab.playbook("deploy", "-e", f"app_version={tag}", *health_window(900), timeout=120)
    message = run.error()
    first, *log = message.split("\n")
    # Which hosts, which container, how it ended; and its last words below.
    assert first.startswith("deploy failed in step start: app1, app2: container marketplace-backend-")
    assert " exited with code 37. " in first and f"Release {v1_0_0} is still live" in first
    assert [line.strip() for line in log] == [
        "app1:",
        "fatal: no lease on the warehouse",
        "app2:",
        "fatal: no lease on the warehouse",
    ]
    assert run.ran(FLIP) == set()
    assert lab.record() == before
    assert load.report.failed == 0, str(load.report)
    assert set(load.report.versions) == {"v1.0.0"}, str(load.report)


def test_nothing_flips_while_a_host_cannot_be_reached(lab: Lab, v1_0_0: str) -> None:
    before = lab.state()
    with Load(lab.url, NEXT, rate=80) as load, lab.silent("app2"):
        run = lab.deploy("v1.1.0")
    message = run.error()
    assert message.startswith("deploy failed in step fence: app2: cannot be reached")
    assert "Nothing was changed" in message
    assert "release_exclude_hosts=" in message
    assert run.ran(FLIP) == set()
    assert run.ran("Start | Bring") == set()
    assert lab.state() == before
    # It serves all the while: a host the controller cannot reach is not a host that is down.
    assert load.report.failed == 0, str(load.report)
    assert len(load.report.hosts) == len(APP_HOSTS), str(load.report)
