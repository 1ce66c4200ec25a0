# SPDX-License-Identifier: Apache-2.0
"""Workers go over to another release, or go on as they were."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import EngineError
from ansible_collections.sluice.stack.plugins.module_utils.release import guard as guards
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, LeaseLost


class Host:
    """Containers in memory, and what was done to them in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dies: bool = False) -> None:
        self.done: list[str] = []
        self.dies = dies
        fakes = {
            "ensure_network": lambda *_: None,
            "create": lambda _, item: str(item["name"]),
            "start": self._start,
            "died": lambda _, name: "exited with code 1" if self.dies and "-r2-" in name else None,
            "remove": lambda _, name, force=False: self.done.append(f"remove {name}"),
            "set_restart": lambda _, name, policy: self.done.append(f"keep {name}"),
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(docker_host, name, fake)

    def _start(self, _: Any, name: str) -> None:
        self.done.append(f"start {name}")

    def post(self, path: str, **_: Any) -> None:
        self.done.append(f"stop {path.split('/')[2]}")


def manifest(switch: str) -> dict[str, Any]:
    service = {
        "image": "example/mailer",
        "command": None,
        "env": {},
        "secrets": {},
        "port": None,
        "replicas": 1,
        "update_order": switch,
        "stop_grace": 30,
        "health": {"min_ready": 0},
        "read_only": True,
        "tmpfs": [],
        "capabilities": [],
        "memory": 1,
        "pids": 1,
        "cpus": 0,
    }
    return {"app": "shop", "id": "r2", "services": {"mailer": service}}


OLD = {"id": "old", "name": "shop-mailer-r1-0", "service": "mailer", "release": "r1", "state": "running"}


def rival(guard: Guard) -> Guard:
    """Another run on the same host, started later."""
    return Guard("shop", "b", 0, guard.folder.removesuffix("/apps/shop"))


def switch(host: Host, guard: Guard, how: str) -> list[str]:
    workers.switch(host, guard, manifest(how), "mailer", "blue", {}, [OLD])  # type: ignore[arg-type]
    return host.done


def test_two_of_a_worker_never_run_at_once_unless_asked_for(monkeypatch: pytest.MonkeyPatch, guard: Guard) -> None:
    assert switch(Host(monkeypatch), guard, "stop_first") == [
        "stop old",
        "start shop-mailer-r2-0",
        "keep shop-mailer-r2-0",
        "remove old",
    ]
    assert switch(Host(monkeypatch), guard, "start_first") == [
        "start shop-mailer-r2-0",
        "keep shop-mailer-r2-0",
        "stop old",
        "remove old",
    ]


@pytest.mark.parametrize(
    ("how", "after"),
    [
        ("stop_first", ["stop old", "start shop-mailer-r2-0", "remove shop-mailer-r2-0", "start old"]),
        ("start_first", ["start shop-mailer-r2-0", "remove shop-mailer-r2-0"]),
    ],
)
def test_a_worker_that_dies_leaves_the_one_before_running(
    monkeypatch: pytest.MonkeyPatch, guard: Guard, how: str, after: list[str]
) -> None:
    host = Host(monkeypatch, dies=True)
    with pytest.raises(workers.WorkersError, match=r"worker mailer: the previous release .*exited with code 1"):
        switch(host, guard, how)
    assert host.done == after


@pytest.mark.parametrize(
    ("how", "moment", "after"),
    [
        ("stop_first", "stop", ["stop old", "remove shop-mailer-r2-0", "start old"]),
        ("stop_first", "died", ["stop old", "start shop-mailer-r2-0", "remove shop-mailer-r2-0", "start old"]),
        ("start_first", "died", ["start shop-mailer-r2-0", "remove shop-mailer-r2-0"]),
    ],
)
def test_a_run_that_loses_the_app_leaves_the_one_before_running(
    monkeypatch: pytest.MonkeyPatch, guard: Guard, how: str, moment: str, after: list[str]
) -> None:
    """The other run fences while a container stops or starts: it is not kept waiting."""
    host = Host(monkeypatch)

    def fenced(*_: Any) -> None:
        if guard.undisturbed():
            rival(guard).fence(action="rollback", who="ben", begun="b", ttl=60, preempt=True)

    if moment == "stop":
        post = host.post
        monkeypatch.setattr(host, "post", lambda path, **options: (post(path, **options), fenced()))
    else:
        monkeypatch.setattr(docker_host, "died", fenced)
    with pytest.raises(workers.WorkersError, match=r"the previous release .*; run a .* app shop"):
        switch(host, guard, how)
    assert host.done == after


def test_a_run_that_took_the_app_waits_for_the_workers(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "EFFECT_SECONDS", 0.0)
    with guard.turn("workers"):
        later = rival(guard)
        later.fence(action="rollback", who="ben", begun="b", ttl=60, preempt=True)
        with pytest.raises(guards.LeaseHeld, match="an earlier run still works on its workers"), later.turn("workers"):
            pytest.fail("it had to wait")


def test_a_service_that_goes_stays_when_another_run_takes_the_app(
    monkeypatch: pytest.MonkeyPatch, guard: Guard
) -> None:
    host = Host(monkeypatch)
    post = host.post

    def fenced(path: str, **options: Any) -> None:
        post(path, **options)
        rival(guard).fence(action="rollback", who="ben", begun="b", ttl=60, preempt=True)

    monkeypatch.setattr(host, "post", fenced)
    monkeypatch.setattr(docker_host, "worker_containers", lambda *_: [OLD])
    with pytest.raises(LeaseLost):
        workers.apply(host, guard, {**manifest("stop_first"), "services": {}}, [], "blue", {}, "")  # type: ignore[arg-type]
    assert host.done == ["stop old", "start old"]


def test_an_engine_that_fails_is_no_reason_to_lose_the_worker(monkeypatch: pytest.MonkeyPatch, guard: Guard) -> None:
    host = Host(monkeypatch)

    def refuse(*_: Any) -> str:
        raise EngineError("no space left on device")

    monkeypatch.setattr(docker_host, "create", refuse)
    with pytest.raises(workers.WorkersError, match="the previous release runs again; no space left on device"):
        switch(host, guard, "stop_first")
    assert host.done[-1] == "start old"


def test_a_jobs_units_hold_no_secret_and_start_a_container_that_is_there() -> None:
    files = workers.unit_files("shop", "report", "*-*-* 03:00", "shop-report-r2-0")
    assert set(files) == {"sluice-shop-report.service", "sluice-shop-report.timer"}
    assert "ExecStart=/usr/bin/docker start --attach shop-report-r2-0" in files["sluice-shop-report.service"]
    assert "OnCalendar=*-*-* 03:00" in files["sluice-shop-report.timer"]
