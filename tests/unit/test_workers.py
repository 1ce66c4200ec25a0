# SPDX-License-Identifier: Apache-2.0
"""Workers go over to another release, or go on as they were."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import EngineError
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import LeaseLost


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


NEW = "shop-mailer-r2-0"
OLD = {"id": "old", "name": "shop-mailer-r1-0", "service": "mailer", "release": "r1", "state": "running"}


def switch(host: Host, how: str) -> list[str]:
    workers.switch(host, manifest(how), "mailer", "blue", {}, [OLD])  # type: ignore[arg-type]
    return host.done


def test_two_of_a_worker_never_run_at_once_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert switch(Host(monkeypatch), "stop_first") == [
        "stop old",
        "start shop-mailer-r2-0",
        "keep shop-mailer-r2-0",
        "remove old",
    ]
    assert switch(Host(monkeypatch), "start_first") == [
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
    monkeypatch: pytest.MonkeyPatch, how: str, after: list[str]
) -> None:
    host = Host(monkeypatch, dies=True)
    with pytest.raises(workers.WorkersError, match=r"worker mailer: the previous release .*exited with code 1"):
        switch(host, how)
    assert host.done == after


@pytest.mark.parametrize(
    ("how", "looks", "after"),
    [
        ("stop_first", 1, ["stop old", "start old"]),
        ("stop_first", 2, ["stop old", "start shop-mailer-r2-0", "remove shop-mailer-r2-0", "start old"]),
        ("start_first", 2, ["start shop-mailer-r2-0", "remove shop-mailer-r2-0"]),
    ],
)
def test_a_run_that_loses_the_app_leaves_the_one_before_running(
    monkeypatch: pytest.MonkeyPatch, how: str, looks: int, after: list[str]
) -> None:
    host = Host(monkeypatch)
    left = [None] * (looks - 1)

    def check() -> None:
        if not left:
            raise LeaseLost("run a does not hold the lease of app shop on this host")
        left.pop()

    with pytest.raises(
        workers.WorkersError, match=r"the previous release .*; run a does not hold the lease of app shop"
    ):
        workers.switch(host, manifest(how), "mailer", "blue", {}, [OLD], "", check)  # type: ignore[arg-type]
    assert [item for item in host.done if item not in after] == [f"remove {NEW}"] * (looks == 1)
    assert [item for item in host.done if item in after] == after


def test_an_engine_that_fails_is_no_reason_to_lose_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch)

    def refuse(*_: Any) -> str:
        raise EngineError("no space left on device")

    monkeypatch.setattr(docker_host, "create", refuse)
    with pytest.raises(workers.WorkersError, match="the previous release runs again; no space left on device"):
        switch(host, "stop_first")
    assert host.done[-1] == "start old"


def test_a_jobs_units_hold_no_secret_and_start_a_container_that_is_there() -> None:
    files = workers.unit_files("shop", "report", "*-*-* 03:00", "shop-report-r2-0")
    assert set(files) == {"sluice-shop-report.service", "sluice-shop-report.timer"}
    assert "ExecStart=/usr/bin/docker start --attach shop-report-r2-0" in files["sluice-shop-report.service"]
    assert "OnCalendar=*-*-* 03:00" in files["sluice-shop-report.timer"]
