# SPDX-License-Identifier: Apache-2.0
"""Bringing a release up in a slot: how long the app is claimed for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import slot
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import labels

BACKEND = {"image": "shop@sha256:0", "port": 4000, "strategy": "blue_green", "health": {"window": 20}, "stop_grace": 5}
MANIFEST = {"id": "r1", "app": "shop", "services": {"backend": BACKEND}}
CONTAINER = {"name": "one", "alias": "backend", "labels": labels("shop", "backend", "blue", "r1", 0)}
LEASE, PULL = 60.0, 300.0


class Claims:
    """A guard that lets everything pass and remembers for how long the app was claimed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextlib.contextmanager
    def effect(self, extend: float) -> Iterator[None]:
        self.seconds.append(extend)
        yield


@pytest.mark.parametrize(("present", "longest"), [(True, 20 + LEASE), (False, PULL + LEASE)])
def test_the_app_is_claimed_for_a_pull_only_when_there_is_one(
    monkeypatch: pytest.MonkeyPatch, present: bool, longest: float
) -> None:
    """What is claimed is what the next run waits for when this one is killed."""
    claims: Any = Claims()
    monkeypatch.setattr(slot, "slot_containers", lambda *_: [CONTAINER])
    monkeypatch.setattr(slot, "wait_all", lambda *_: None)
    for name in ("pull", "ensure_network", "create", "start", "set_restart"):
        monkeypatch.setattr(slot.docker_host, name, lambda *_: None)
    monkeypatch.setattr(slot.docker_host, "has_image", lambda *_: present)
    monkeypatch.setattr(slot.docker_host, "app_containers", lambda *_: [])
    engine: Any = None
    done = slot.prepare(
        engine,
        claims,
        slot.Part(MANIFEST, "blue", ["backend"], "10.0.0.1"),
        {},
        pull_seconds=PULL,
        drain_seconds=10,
        lease_seconds=LEASE,
    )
    assert max(claims.seconds) == longest
    assert done["pulled"] == ([] if present else ["shop@sha256:0"])
