# SPDX-License-Identifier: Apache-2.0
"""A service that must not run twice: replaced while the rest of the app goes over without a dropped request."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import yaml

from tests.support.lab import INVENTORY, QUICK, Lab, until
from tests.support.load import Ask, Load
from tests.support.playbook import REPO

ASKS = (
    Ask("GET", "/api/version", expect=(200,)),
    Ask("POST", "/api/bookings", json.dumps({"note": "x" * 20_000}).encode(), expect=(400,)),
)
SERVE = "require('http').createServer((q, a) => a.end(process.env.BANNER)).listen(5000)"
DIE = "console.error('the lock is held'); process.exit(3)"


def with_lock(banner: str, script: str = SERVE) -> tuple[str, ...]:
    """The inventory's app with such a service and a route to it, as options of a deploy."""
    found: dict[str, Any] = yaml.safe_load((REPO / INVENTORY / "group_vars" / "all" / "app.yml").read_text())
    services, routes = found["app_services"], found["app_routes"]
    services["lock"] = {
        "image": services["backend"]["image"],
        "command": ["node", "-e", script],
        "port": 5000,
        "strategy": "recreate",
        "env": {"BANNER": banner},
        "stop_grace": 2,
        "health": {"window": 20},
    }
    routes.append({"path": "/lock", "service": "lock"})
    return (*QUICK, "-e", json.dumps({"app_services": services, "app_routes": routes}))


class Watch:
    """Asks for the service all the time; every answer by what it was."""

    def __init__(self, lab: Lab) -> None:
        self.answers: list[tuple[int, str, str | None]] = []
        self._lab, self._over = lab, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._over.wait(0.02):
            answer = self._lab.ask("/lock")
            self.answers.append((answer.status, answer.text.strip(), answer.headers.get("retry-after")))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()


def most_at_once(lab: Lab, since: str, until: str) -> int:
    """How many containers of the service ran at the same time, as the engine tells it."""
    label = "label=stack.sluice.workers=lock"
    events = lab.shell(
        "app1",
        f"docker events --since {since} --until {until} --filter {label} --filter event=start --filter event=die "
        "--format '{{.Action}}'",
    )
    now = most = 1
    for line in events.split():
        now += 1 if line == "start" else -1
        most = max(most, now)
    assert "start" in events
    return most


@pytest.mark.soak
def test_what_must_not_run_twice_is_replaced_beside_the_rest(lab: Lab, v1_0_0: str) -> None:
    run = lab.deploy("v1.0.0", *with_lock("one")).good()
    assert "lock on port" in run.output and "alongside the slots" in run.output
    assert lab.ask("/lock").text == "one"
    assert "nothing was changed" in lab.deploy("v1.0.0", *with_lock("one")).good().output

    begin = lab.on("app1", "date", "+%s.%N").strip()
    with Load(lab.url, *ASKS, rate=60) as load, Watch(lab) as watch:
        run = lab.deploy("v1.1.0", *with_lock("two")).good()
    end = lab.on("app1", "date", "+%s.%N").strip()
    assert load.report.failed == 0 and load.report.total > 100, str(load.report)
    assert most_at_once(lab, begin, end) == 1
    kinds = set(watch.answers)
    assert {(200, "one", None), (200, "two", None)} <= kinds
    away = kinds - {(200, "one", None), (200, "two", None)}
    assert {(status, after) for status, _, after in away} == {(503, "2")}, kinds
    assert "app1: lock: 503 from its stop until the new one is healthy, at most 22 s" in run.output
    assert "app1: lock was down for" in run.output
    assert lab.live() and set(lab.served().values()) == {"v1.1.0"}

    # One that dies: the previous release runs again, the release stays, and the plan had said how long it took the last time.
    run = lab.deploy("v1.1.0", *with_lock("three", DIE))
    message = run.error()
    assert "service lock: the previous release runs again" in message and "the lock is held" in message
    assert "The release is live, except for what failed" in message
    assert " s last time" in run.output
    until(lambda: lab.ask("/lock").text == "two", 10, "the one before answers again")

    lab.deploy("v1.0.0", *QUICK).good()
    label = "label=stack.sluice.workers=lock"
    assert lab.shell("app1", f"docker ps -aq --filter {label}").split() == []
    assert not any(lab.leases().values())
