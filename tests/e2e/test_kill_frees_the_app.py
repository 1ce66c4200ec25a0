# SPDX-License-Identifier: Apache-2.0
"""A controller that is killed frees the app: the next run fences at once, nobody unlocks anything, and no request fails."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.images import SOUND, Variants
from tests.support.lab import APP_HOSTS, QUICK, Lab, health_window, until
from tests.support.load import Ask, Load
from tests.support.playbook import Run, Started, known
from tests.support.workers import TICK, services, workers

ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/api/accountants", expect=(200,)))
FENCED = {"edge1", *APP_HOSTS}
# So long that no lease in this file ends by itself before a test does.
LONG = ("-e", "app_lease_seconds=3600", *health_window(20))
MIGRATES = "docker inspect -f {{.State.Running}} marketplace-migration 2>/dev/null | grep -q true"
PULLS = "ls /var/lib/docker/tmp 2>/dev/null | grep -q ."
HEAVY = 60 * 2**20  # bytes: a pull that takes a moment
FRESH = "release_wait_seconds=60"


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> str:
    """v1.0.0 is live, and the migration of v1.1.0 is pending."""
    release = lab.ensure("v1.0.0")
    lab.unmigrate()
    return release


def reached(started: Started, task: str) -> Callable[[], bool]:
    """Whether a task has had a result, or the run has ended."""
    known(task)
    return lambda: (
        not started.running()
        or any(item["task"].startswith(task) and item["status"] != "skipped" for item in started.events())
    )


def on_host(lab: Lab, host: str, seen: str) -> None:
    """Wait until a shell condition holds on a host."""
    lab.shell(host, f"timeout 60 sh -c 'until {seen}; do sleep 0.02; done'", timeout=70)


def fenced_after(started: Started, moment: float) -> float:
    """Seconds from a moment until a run has fenced every host."""

    def fenced() -> bool:
        hosts = {
            item["host"] for item in started.events() if item["task"].startswith("Fence |") and item["status"] == "ok"
        }
        return hosts == FENCED or not started.running()

    until(fenced, 150, "the next run has fenced every host, or ended", pause=0.02)
    return time.monotonic() - moment


def free(lab: Lab) -> None:
    """A run that went well has given everything back, and both hosts serve what is live."""
    record = lab.record()
    assert record and record["pending"] is None
    assert set(lab.leases().values()) == {None}
    assert len(lab.served()) == len(APP_HOSTS)


@pytest.mark.parametrize(
    ("how", "place"),
    [
        (signal.SIGKILL, "migrate"),
        (signal.SIGINT, "start"),
        pytest.param(signal.SIGKILL, "start", marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, "migrate", marks=pytest.mark.soak),
    ],
)
def test_the_next_deploy_goes_on_at_once(lab: Lab, begin: str, how: signal.Signals, place: str) -> None:
    """With a lease of an hour: only the end of the controller can have freed the app."""
    with Load(lab.url, *ASKS, rate=60) as load:
        killed = lab.start("deploy", "-e", "app_version=v1.1.0", *LONG)
        if place == "migrate":
            on_host(lab, "app1", MIGRATES)
        else:
            until(reached(killed, "Migrate | Apply"), 60, "it starts the release", pause=0.02)
        killed.process.send_signal(how)
        assert killed.wait().code != 0
        lab.deploy("v1.1.0", *LONG, *QUICK, "-e", FRESH).good()
    free(lab)
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")
    assert load.report.failed == 0, str(load.report)


@pytest.mark.soak
def test_a_controller_that_is_gone_whole_keeps_the_app_for_its_lease_alone(lab: Lab, begin: str) -> None:
    """As a machine that loses its power: nothing is left that could end the lease."""
    killed = lab.start("deploy", "-e", "app_version=v1.1.0", "-e", "app_lease_seconds=25")
    until(reached(killed, "Fence | Take"), 60, "it has fenced", pause=0.02)
    for pid in killed.processes("sluice-lease"):
        os.kill(pid, signal.SIGKILL)
    killed.kill()
    assert killed.wait().code == -signal.SIGKILL
    refused = lab.deploy("v1.1.0").error()
    assert "app marketplace is locked: deploy by " in refused, "its lease is not over"
    lab.deploy("v1.1.0", *QUICK, "-e", "release_wait_seconds=120").good()
    free(lab)


@pytest.mark.soak
def test_a_host_that_is_cut_off_during_a_step_is_free_when_it_is_back(lab: Lab, begin: str) -> None:
    with Load(lab.url, *ASKS, rate=60) as load:
        instead = lab.silence("app2")
        started = lab.start(
            "deploy", "-e", "app_version=v1.1.0", *health_window(20), kill="start:Start | Bring", instead=instead
        )
        try:
            message = started.wait().error()
            assert message.startswith("deploy failed in step start: app2: cannot be reached"), message
            assert f"Release {begin} is still live" in message
            until(lambda: not started.processes("sluice-lease"), 30, "no process of the run is left")
        finally:
            lab.hear("app2")
        lab.deploy("v1.1.0", *QUICK, "-e", FRESH).good()
    free(lab)
    assert load.report.failed == 0, str(load.report)


@pytest.mark.soak
def test_a_worker_that_takes_long_to_stop_keeps_nobody_waiting(lab: Lab, v1_0_0: str) -> None:
    """The killed run's module waits for the worker; the next run fences meanwhile, and replaces what that one brought back."""
    stubborn = f"process.on('SIGTERM', () => console.log('asked to stop')); {TICK}"
    lab.deploy("v1.0.0", *services(stubborn, "one", grace=45)).good()
    try:
        killed = lab.start("deploy", "-e", "app_version=v1.0.0", *services(stubborn, "two", grace=45))
        asked = "docker ps -q --filter label=stack.sluice.workers=ticker | xargs -r docker logs 2>&1 | grep -q asked"
        on_host(lab, "app1", asked)
        killed.process.kill()
        then = time.monotonic()
        again = lab.start("deploy", "-e", "app_version=v1.0.0", *services(stubborn, "two", grace=45), "-e", FRESH)
        seconds = fenced_after(again, then)
        assert killed.wait().code == -signal.SIGKILL
        again.wait().good()
        assert seconds < PROMISE, f"fenced {seconds:.1f} s after the kill"
        for host in APP_HOSTS:
            assert list(workers(lab, host).values()) == ["tick two"]
        free(lab)
    finally:
        lab.deploy("v1.0.0", *QUICK).good()


# Thirty kills, in three parts: of each one in a pull and one in a migration, the others anywhere.

PROMISE = 20.0  # seconds from the kill to the fence of the next run
PLACES = ("migrate", "pull", *["anywhere"] * 8)


@pytest.fixture(scope="module")
def figures(lab: Lab) -> Iterator[list[float]]:
    """The seconds of each kill, shown at the end."""
    found: list[float] = []
    yield found
    if found:
        print(
            f"{len(found)} kills: {min(found):.1f} / {statistics.median(found):.1f} / {max(found):.1f} s until the next fence"
        )


def kill(lab: Lab, started: Started, place: str, moment: float) -> float:
    """Kill a deploy at a place, or some seconds after its begin; when that was."""
    if place == "pull":
        on_host(lab, "app1", PULLS)
    elif place == "migrate":
        on_host(lab, "app1", MIGRATES)
    else:
        time.sleep(moment)
    started.process.kill()
    return time.monotonic()


def one_kill(lab: Lab, variant: Variants, place: str, tag: str, moment: float) -> tuple[str, float, float]:
    """A deploy that is killed under load, and the next one; where and when, and the seconds until that one has fenced."""
    goal = tag
    if place == "pull":
        goal = variant.push(f"v1.2.0-pull-{time.time():.0f}", SOUND, weight=HEAVY)
    elif place == "migrate" or tag == "v1.1.0":
        lab.ensure("v1.0.0")
        lab.unmigrate()
    with Load(lab.url, *ASKS, rate=60) as load:
        first = lab.start("deploy", "-e", f"app_version={goal}", *QUICK)
        then = kill(lab, first, place, moment)
        second = lab.start("deploy", "-e", f"app_version={goal}", *QUICK, "-e", FRESH)
        seconds = fenced_after(second, then)
        killed = first.wait()
        run: Run = second.wait().good()
    at = killed.events[-1]["task"] if killed.events else "its begin"
    what = f"{place}, {moment:.1f} s, after {at}: code {killed.code}, fenced {seconds:.1f} s after the kill"
    print(what)
    assert killed.code in (-signal.SIGKILL, 0), str(killed)
    assert seconds < PROMISE, f"{what}\n{run}"
    assert load.report.failed == 0, f"{what}\n{load.report}"
    free(lab)
    return f"{place}: {at}", moment, seconds


@pytest.mark.soak
@pytest.mark.parametrize("part", range(3))
def test_of_thirty_kills_none_keeps_the_app_for_longer_than_promised(
    lab: Lab, begin: str, variant: Variants, figures: list[float], part: int
) -> None:
    chance = random.Random(part)
    for number, place in enumerate(PLACES):
        tag = "v1.1.0" if number % 2 == 0 else "v1.0.0"
        figures.append(one_kill(lab, variant, place, tag, chance.uniform(0.5, 12.0))[2])
