# SPDX-License-Identifier: Apache-2.0
"""Two edges, one of which the controller loses between flip and confirm: what either sends requests to goes on running."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import APP_HOSTS, QUICK, RECORD, Lab, health_window, until
from tests.support.load import Ask, Load
from tests.support.playbook import REPO

pytestmark = pytest.mark.soak  # it makes a host of its own

BOTH = ("-i", "tests/fleet/edges.yml")  # beside the lab's inventory
CONFIRM = 20  # seconds; time enough to ask the edge that was lost before its flip ends
SHORT = ("-e", f"app_confirm_seconds={CONFIRM}", "-e", "app_lease_seconds=5", *health_window(10))
ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/api/accountants", expect=(200,)))


@pytest.fixture(scope="module")
def edge2(lab: Lab, v1_0_0: str) -> Iterator[Lab]:
    """The lab through a second edge, which is removed again."""
    fleet = REPO / "scripts" / "fleet"
    try:
        subprocess.run([fleet, "up", "edge2"], check=True)
        yield Lab("edge2")
    finally:
        subprocess.run([fleet, "down", "edge2"], check=True)


@pytest.fixture
def begin(lab: Lab, edge2: Lab) -> str:
    """v1.0.0 is live on both edges, and nothing else runs; the release's id."""
    if lab.live() == edge2.live() and (lab.live() or "").endswith("-v1.1.0"):
        lab.rollback(*BOTH, *QUICK).good()
    lab.deploy("v1.0.0", *BOTH, *QUICK).good()
    assert lab.live() == edge2.live()
    assert edge2.served() == lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0")
    return lab.live() or ""


def running(lab: Lab) -> dict[str, dict[str, Any]]:
    """The ids of what runs on each app host, by release."""
    found: dict[str, dict[str, Any]] = {}
    for host in APP_HOSTS:
        for item in lab.containers(host).values():
            if item["state"] == "running":
                found.setdefault(host, {}).setdefault(item["release"], set()).add(item["id"])
    return found


def trying(edge: Lab) -> bool:
    """Whether the edge has a flip that is neither confirmed nor over."""
    record = edge.record() or {}
    return bool(record.get("pending")) and time.time() < record["deadline"]


def test_an_edge_that_misses_the_confirm_keeps_what_it_serves_until_the_next_run(
    lab: Lab, edge2: Lab, begin: str
) -> None:
    old, new = dict.fromkeys(APP_HOSTS, "v1.0.0"), dict.fromkeys(APP_HOSTS, "v1.1.0")
    with Load(lab.url, *ASKS, rate=40) as first, Load(edge2.url, *ASKS, rate=40) as second:
        try:
            deploy = lab.start(
                *("deploy", "-e", "app_version=v1.1.0", *BOTH, *SHORT),
                kill="start:Confirm | Make",
                instead=lab.silence("edge2"),
            )
            # It was flipped like the other one; its silence begins when that is done.
            edge2.shell(
                "edge2",
                f'timeout 100 sh -c \'while grep -q "\\"pending\\": null" {RECORD}; do sleep 0.1; done\'',
                timeout=110,
            )
            run = deploy.wait()
            message = run.error()
            print(message)
            assert message.startswith("deploy failed in step confirm: edge2: cannot be reached"), message
            assert "run the same command again, it rolls forward" in message, message
            assert run.ran("Flip | Send") == {"edge1", "edge2"}
            assert run.ran("Retire | Record") == set()
            release = lab.live() or ""
            assert release.endswith("-v1.1.0"), "the edge that was reached has confirmed"
            assert edge2.live() == begin

            # The other's flip ends by itself; from then on each edge serves what it has confirmed.
            until(lambda: not trying(edge2), CONFIRM + 1, "the flip on edge2 has ended")
            assert (lab.served(), edge2.served()) == (new, old)
            both = running(lab)
            assert {frozenset(held) for held in both.values()} == {frozenset({begin, release})}

            # Nobody may clear up behind an edge that does not answer.
            refused = lab.deploy("v1.1.0", *BOTH, *SHORT, "-e", "release_wait_seconds=60").error()
            print(refused)
            assert refused.startswith("deploy failed in step fence: edge2: cannot be reached"), refused
            assert running(lab) == both
        finally:
            lab.hear("edge2")

        status = lab.playbook("status", *BOTH).good().output
        print(status)
        assert "marketplace: mixed" in status
        assert (lab.served(), edge2.served()) == (new, old)

        # The same command again: forward, on the edge that was left behind alone, and then what nobody uses ends.
        run = lab.deploy("v1.1.0", *BOTH, *SHORT, *QUICK, "-e", "release_wait_seconds=60").good()
        assert run.ran("Reconcile | Bring") == {"edge2"}
        assert run.ran("Flip | Send") == run.ran("Start | Bring") == set()
        assert (lab.live(), edge2.live()) == (release, release)
        assert (lab.served(), edge2.served()) == (new, new)
        assert {frozenset(held) for held in running(lab).values()} == {frozenset({release})}
        assert "marketplace: live" in lab.playbook("status", *BOTH).good().output
    print(first.report, second.report, sep="\n")
    for load in (first, second):
        assert load.report.failed == 0, str(load.report)
        assert set(load.report.versions) == {"v1.0.0", "v1.1.0"}, str(load.report)


def test_the_load_on_an_edge_sees_when_its_slot_is_stopped(lab: Lab, edge2: Lab, begin: str) -> None:
    """The control: what the test above says does not happen, done by hand."""
    held = {host: " ".join(set().union(*releases.values())) for host, releases in running(lab).items()}
    try:
        with Load(edge2.url, *ASKS, rate=40) as load:
            time.sleep(1)
            for host, ids in held.items():
                lab.shell(host, f"docker stop -t 2 {ids} >/dev/null")
            time.sleep(2)
    finally:
        for host, ids in held.items():
            lab.shell(host, f"docker start {ids} >/dev/null")
    assert load.report.failed > 0, str(load.report)
    until(lambda: edge2.served() == dict.fromkeys(APP_HOSTS, "v1.0.0"), 60, "both app hosts serve again")
