# SPDX-License-Identifier: Apache-2.0
"""What goes wrong while images are pulled, after the plan saw nothing wrong: one line, no flip, and the old release goes on."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.support.images import SOUND, Variants
from tests.support.lab import APP, APP_HOSTS, PREFIX, QUICK, REGISTRY, Lab
from tests.support.load import Ask, Load
from tests.support.playbook import Run

NEXT = Ask("GET", "/api/version", expect=(200,))
PULLS = "/var/lib/docker/tmp"  # where the engine puts what it downloads
ROOM = 1  # MiB
WEIGHT = 6 * 2**20


@contextlib.contextmanager
def nearly_full(lab: Lab, host: str) -> Iterator[None]:
    """What the host's engine downloads meets the end of a disk; the machine's own stays as it is."""
    lab.shell(host, f"mkdir -p {PULLS} && mount -t tmpfs -o size={ROOM}m tmpfs {PULLS}")
    try:
        yield
    finally:
        lab.shell(host, f"umount --lazy {PULLS}")


def fails_alone(lab: Lab, deploy: Callable[[], Run]) -> str:
    """The one line a deploy fails with in its start; nobody who visits meanwhile notices it."""
    before = lab.record()
    with Load(lab.url, NEXT, rate=60) as load:
        run = deploy()
    message = run.error()
    assert "\n" not in message, message
    assert message.startswith("deploy failed in step start: "), message
    assert f"Release {lab.live()} is still live" in message
    assert run.ran("Flip | Send") == set()
    assert lab.record() == before
    assert set(lab.leases().values()) == {None}
    assert load.report.failed == 0, str(load.report)
    assert set(load.report.versions) == {"v1.0.0"}, str(load.report)
    return message


@pytest.mark.soak
def test_a_disk_that_fills_up_on_one_host_stops_the_release_on_all(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    tag = variant.push("v1.2.0-heavy", SOUND, weight=WEIGHT)
    with nearly_full(lab, "app2"):
        message = fails_alone(lab, lambda: lab.deploy(tag))
    print(message)
    assert f"app2: image {REGISTRY}/{APP}/backend@sha256:" in message
    assert "no disk space left where the Docker engine stores images: free some" in message
    assert "app1" not in message
    # The control: nothing but the disk was in the way.
    lab.deploy(tag, *QUICK).good()
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")  # a variant goes by the good one's name
    lab.rollback(*QUICK).good()


@pytest.mark.soak
def test_a_registry_that_falls_silent_during_the_pull(lab: Lab, v1_0_0: str, variant: Variants) -> None:
    tag = variant.push("v1.2.0-unheard", [*SOUND, uuid.uuid4().hex])
    stop = f"docker exec {PREFIX}-store1 systemctl kill --signal=STOP docker-registry"
    short = ("-e", f"app_version={tag}", "-e", "app_pull_seconds=5")
    try:
        message = fails_alone(
            lab, lambda: lab.start("deploy", *short, kill="start:Start | Bring", instead=stop).wait(timeout=90)
        )
    finally:
        lab.shell("store1", "systemctl kill --signal=CONT docker-registry")
    print(message)
    # The first app host has the image already: it ran the migration in it.
    assert f"app2: image {REGISTRY}/{APP}/backend@sha256:" in message
    assert f"registry {REGISTRY} timed out" in message
    assert "not pulled within 5 s" in message
    # The control: the same command, with a registry that answers.
    lab.deploy(tag, *QUICK).good()
    lab.rollback(*QUICK).good()
