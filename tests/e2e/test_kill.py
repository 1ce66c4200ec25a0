# SPDX-License-Identifier: Apache-2.0
"""The controller is killed: the app goes on being served, and the next run of the same command brings it where it was to be.

A sample of places here; `make soak` has every task of a deploy, at its start and at its result.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.lab import APP_HOSTS, MIGRATION, PREFIX, QUICK, RECORD, Lab, health_window, slow_flip, until
from tests.support.load import Ask, Load
from tests.support.playbook import Run, Started

CONFIRM = 5  # seconds
# Every lease and window short, so that the next run has little to wait for.
SHORT = (
    *("-e", f"app_confirm_seconds={CONFIRM}", "-e", "app_lease_seconds=5"),
    *("-e", "app_pull_seconds=30"),  # a host may have lost the images by now
    *health_window(10),
)
NEXT = (*SHORT, "-e", "release_wait_seconds=60")
ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/api/accountants", expect=(200,)))

# The tasks of a deploy that brings a migration, in their order; a test holds that there are no others.
TASKS = (
    "Contract | Check the command line",
    "Fence | Take the app",
    "Plan | Decide",
    "Execute | The steps",
    "Pending | See",
    "Pending | What hurts",
    "Restore point | Name",
    "Migrate | Apply",
    "Start | Bring",
    "Flip | Send",
    "Confirm | Make the flip permanent",
    "Retire | Record",
    "Report | Print the result",
)
# What a task leaves is complete on all hosts or on one, so a result of each kind is enough for a run on every change.
# A run that died after the fence is test_two_controllers.py's dead owner.
SAMPLE = ("result:Flip | Send", "result:Confirm | Make the flip permanent")
# An include has no result of its own.
POINTS = [f"start:{task}" for task in TASKS] + [f"result:{task}" for task in TASKS if not task.startswith("Execute")]


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> Iterator[str]:
    """v1.0.0 is live, and the migration of v1.1.0 is pending."""
    if lab.settled("v1.1.0"):
        lab.rollback(*QUICK).good()
    release = lab.ensure("v1.0.0")
    lab.unmigrate()
    yield release
    assert lab.record() and not _trying(lab), "the test left a flip behind"


def _trying(lab: Lab) -> bool:
    record = lab.record() or {}
    return bool(record.get("pending")) and time.time() < record["deadline"]


def settles(lab: Lab) -> None:
    """Within the confirm window, with nobody's help, both hosts serve what the edge has confirmed."""
    until(lambda: not _trying(lab), CONFIRM + 1, "no flip is open any more")
    version = (lab.live() or "").split("-", 1)[1]
    assert lab.served() == dict.fromkeys(APP_HOSTS, version)


def converges(lab: Lab) -> Run:
    """The same command again brings v1.1.0 to all hosts, once, and gives the app back."""
    run = lab.deploy("v1.1.0", *NEXT).good()
    record = lab.record()
    assert record and record["pending"] is None and record["confirmed"]["release"].endswith("-v1.1.0")
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")
    assert set(lab.leases().values()) == {None}
    assert [row[1:] for row in lab.migrations() if row[0].startswith(MIGRATION)] == [["t", "f", "1"]]
    return run


def killed(lab: Lab, point: str) -> Run:
    """A deploy of v1.1.0 whose controller died there."""
    run = lab.start("deploy", "-e", "app_version=v1.1.0", *SHORT, kill=point).wait()
    assert run.code == -signal.SIGKILL, f"it was not killed at {point}\n{run}"
    return run


def is_survived(lab: Lab, kill: Callable[[], object]) -> None:
    """The whole promise, under load: nothing is dropped by the kill, by settling or by the next run."""
    with Load(lab.url, *ASKS, rate=60) as load:
        kill()
        settles(lab)
        converges(lab)
    assert load.report.failed == 0, str(load.report)
    assert {"v1.0.0", "v1.1.0"} == set(load.report.versions), str(load.report)


@pytest.mark.parametrize("point", SAMPLE)
def test_a_kill_at_a_task_costs_nothing(lab: Lab, begin: str, point: str) -> None:
    is_survived(lab, lambda: killed(lab, point))


@pytest.mark.soak
@pytest.mark.parametrize("point", [point for point in POINTS if point not in SAMPLE])
def test_a_kill_at_any_task_costs_nothing(lab: Lab, begin: str, point: str) -> None:
    is_survived(lab, lambda: killed(lab, point))


@pytest.mark.soak
def test_the_matrix_has_every_task_of_a_deploy(lab: Lab, begin: str) -> None:
    run = lab.deploy("v1.1.0").good()
    names = {item["task"] for item in run.events if item["status"] != "skipped"}
    assert {name for name in names if not name.startswith(TASKS)} == set()
    assert {task for task in TASKS if not any(name.startswith(task) for name in names)} == set()


# Inside a module: it runs on a host when the controller dies, and nobody reads what it says at its end.


def inside(lab: Lab, task: str, host: str, seen: str, *extra: str) -> Started:
    """Kill a deploy, with all its processes, as soon as the shell condition holds on a host; the task was under way then."""
    started = lab.start("deploy", "-e", "app_version=v1.1.0", *SHORT, *extra)
    lab.shell(host, f"timeout 60 sh -c 'until {seen}; do sleep 0.02; done'", timeout=70)
    started.kill()
    run = started.wait()
    assert run.code == -signal.SIGKILL, str(run)
    assert run.ran(task) == set(), f"{task} was over before the kill\n{run}"
    return started


def test_a_kill_inside_the_migration_leaves_it_to_its_end(lab: Lab, begin: str) -> None:
    def kill() -> None:
        running = "docker inspect -f {{.State.Running}} marketplace-migration 2>/dev/null | grep -q true"
        inside(lab, "Migrate | Apply", "app1", running)
        until(
            lambda: [row[1] for row in lab.migrations() if row[0].startswith(MIGRATION)] == ["t"],
            30,
            "the migration was applied",
        )

    is_survived(lab, kill)


def test_a_kill_inside_a_start_leaves_it_to_its_end(lab: Lab, begin: str) -> None:
    def kept(host: str) -> set[str]:
        form = "{{.HostConfig.RestartPolicy.Name}} {{.State.Status}}"
        ids = [item["id"] for item in lab.containers(host).values() if item["release"].endswith("-v1.1.0")]
        return set(lab.on(host, "docker", "inspect", "-f", form, *ids).splitlines()) if len(ids) == 2 else set()

    def kill() -> None:
        idle = "green" if (lab.record() or {})["confirmed"]["slot"] == "blue" else "blue"
        started = f"docker ps -q --filter label=stack.sluice.slot={idle} | grep -q ."
        inside(lab, "Start | Bring", "app1", started)
        # Only the module's last effect has the engine start them again by itself.
        for host in APP_HOSTS:
            until(lambda host=host: kept(host) == {"unless-stopped running"}, 30, f"{host} has finished its start")

    is_survived(lab, kill)


@pytest.mark.soak
def test_a_kill_inside_a_flip_is_undone_by_the_edge(lab: Lab, begin: str) -> None:
    def kill() -> None:
        inside(lab, "Flip | Send", "edge1", f'! grep -q "\\"pending\\": null" {RECORD}', *slow_flip())
        assert _trying(lab)

    is_survived(lab, kill)
    assert (lab.live() or "") > begin


# A host goes down in the middle, too.


def restart(host: str) -> None:
    """Restart a host of the lab."""
    subprocess.run(["docker", "restart", "-t", "20", f"{PREFIX}-{host}"], check=True, capture_output=True)


@pytest.mark.soak
def test_an_edge_that_restarts_in_an_unconfirmed_flip_ends_it_on_time(lab: Lab, begin: str) -> None:
    window = ("-e", "app_confirm_seconds=60")
    started = lab.start("deploy", "-e", "app_version=v1.1.0", *SHORT, *window, kill="result:Flip | Send")
    assert started.wait().code == -signal.SIGKILL
    restart("edge1")
    until(lambda: lab.ask("/api/version").status == 200, 60, "the edge answers")
    assert _trying(lab), "the restart took longer than the window: nothing was tested"
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0"), "the flip is still open"
    until(lambda: not _trying(lab), 60, "the flip has ended")
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0")
    assert lab.live() == begin
    lab.deploy("v1.1.0", *NEXT, "-e", "release_wait_seconds=120").good()
    converges(lab)


@pytest.mark.soak
def test_an_app_host_that_restarts_during_a_start_stops_the_deploy(lab: Lab, begin: str) -> None:
    idle = "green" if (lab.record() or {})["confirmed"]["slot"] == "blue" else "blue"
    started = lab.start("deploy", "-e", "app_version=v1.1.0", *SHORT)
    seen = f"until docker ps -q --filter label=stack.sluice.slot={idle} | grep -q .; do sleep 0.02; done"
    lab.shell("app2", f"timeout 60 sh -c '{seen}'", timeout=70)
    restart("app2")
    message = started.wait().error()
    assert message.startswith("deploy failed in step start: app2: "), message
    assert f"Release {begin} is still live" in message
    assert lab.live() == begin
    until(lambda: lab.served() == dict.fromkeys(APP_HOSTS, "v1.0.0"), 60, "both hosts serve")
    converges(lab)
