# SPDX-License-Identifier: Apache-2.0
"""Bringing a release up in a slot: what may take long keeps no other run from fencing the host, and changes are made under its lock alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import slot
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import labels
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import LeaseLost

BACKEND = {"image": "shop@sha256:0", "port": 4000, "strategy": "blue_green", "health": {"window": 20}, "stop_grace": 5}
MANIFEST = {"id": "r2", "app": "shop", "services": {"backend": BACKEND}}
NEW = {"name": "new", "alias": "backend", "labels": labels("shop", "backend", "blue", "r2", 0)}
OLD = {
    "name": "old",
    "id": "old",
    "service": "backend",
    "replica": 0,
    "slot": "blue",
    "release": "r1",
    "state": "running",
}
LONG = {"pull", "wait_idle", "wait_all", "stop_and_remove"}


class Host:
    """A guard, and a host that notes what is done on it, and whether under the lock; another run fences it when told so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, taken_in: str = "") -> None:
        self.done: list[tuple[str, bool]] = []
        self.locked = self.taken = False
        self.taken_in = taken_in
        monkeypatch.setattr(slot, "slot_containers", lambda *_: [NEW])
        monkeypatch.setattr(slot, "wait_all", self._note("wait_all"))
        monkeypatch.setattr(slot, "wait_idle", self._note("wait_idle"))
        for name in ("pull", "ensure_network", "create", "start", "set_restart", "stop_and_remove", "unmark"):
            monkeypatch.setattr(slot.docker_host, name, self._note(name))
        monkeypatch.setattr(slot.docker_host, "has_image", lambda *_: False)
        monkeypatch.setattr(slot.docker_host, "app_containers", lambda *_: [OLD])

    def _note(self, what: str) -> Callable[..., None]:
        def note(*_: Any) -> None:
            self.done.append((what, self.locked))
            self.taken = self.taken or what == self.taken_in

        return note

    def check(self) -> None:
        if self.taken:
            raise LeaseLost("another run has the app")

    @contextlib.contextmanager
    def effect(self) -> Iterator[None]:
        self.check()
        self.locked = True
        yield
        self.locked = False

    def prepare(self) -> dict[str, Any]:
        part = slot.Part(MANIFEST, "blue", ["backend"], "10.0.0.1")
        engine: Any = None
        guard: Any = self
        return slot.prepare(engine, guard, part, {}, pull_seconds=300, drain_seconds=10)


def test_what_takes_long_is_not_done_under_the_lock_and_what_changes_the_host_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host(monkeypatch)
    done = host.prepare()
    assert done["started"] == ["new"] and done["discarded"] == ["old"] and done["pulled"] == ["shop@sha256:0"]
    assert [name for name, _ in host.done] == [
        *("pull", "wait_idle", "unmark", "stop_and_remove", "ensure_network", "create", "start", "wait_all"),
        "set_restart",
    ]
    assert {name for name, locked in host.done if not locked} == LONG


@pytest.mark.parametrize("taken_in", ["pull", "wait_idle", "stop_and_remove", "wait_all"])
def test_a_run_that_lost_the_app_during_a_wait_changes_nothing_after_it(
    monkeypatch: pytest.MonkeyPatch, taken_in: str
) -> None:
    host = Host(monkeypatch, taken_in)
    with pytest.raises(LeaseLost):
        host.prepare()
    assert host.done[-1][0] == taken_in
