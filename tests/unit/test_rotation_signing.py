# SPDX-License-Identifier: Apache-2.0
"""Keys that sign: at each moment every release that serves believes what any of them signs."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import credentials, ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version
from ansible_collections.sluice.stack.plugins.module_utils.rotation import decide, signing, steps

# A version costs as much as a login, and there are many worlds here.
version = cache(secret_version)
BEGIN = datetime(2026, 11, 22, tzinfo=UTC)
HOURS = 24.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "secret_version", version)
    monkeypatch.setattr(decide, "secret_version", version)


class World:
    """A store with both keys, and the releases of an app."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.store = {"KEY": "first", "OTHER": "first"}
        self.live = dict(self.store)
        self.entries: list[dict[str, Any]] = []
        self.numbers = itertools.count()
        self.gaps: list[str] = []
        self.release()

    def manifest(self) -> dict[str, Any]:
        versions = {name: version("shop", name, value) for name, value in self.live.items()}
        return {"id": f"r{len(self.entries)}", "app": "shop", "services": {"backend": {"secrets": versions}}}

    def entry(self, event: str, **more: Any) -> None:
        time = self.now.isoformat()
        run = {"action": "rotation", "id": f"run{len(self.entries)}", "who": "ops"}
        self.entries.append(ledger.entry(event, token=len(self.entries), time=time, run=run, manifest=None, **more))

    def release(self) -> None:
        """Switch to what is stored: both releases serve for a moment, and users go from one to the other."""
        before, self.live = self.live, dict(self.store)
        for one, other in ((before, self.live), (self.live, before)):
            if one["KEY"] not in other.values():
                self.gaps.append(f"{one} signs what {other} does not believe")
        self.entry("confirmed")
        self.entries[-1] |= {"manifest": self.manifest(), "release": f"r{len(self.entries)}"}

    def app(self) -> decide.Fleet:
        return decide.Fleet(ledger.merge([self.entries]), self.manifest(), {})

    def decide(self, *, after: bool = False, emergency: bool = False) -> decide.Decision:
        keys = signing.Keys("KEY", "OTHER", self.store["KEY"], self.store["OTHER"])
        new = f"made-{next(self.numbers)}"
        return decide.signing_key(keys, HOURS, self.app(), new, self.now, emergency=emergency, after=after)

    def run(self, until: int = 99, emergency: bool = False) -> str:
        """A run of the playbook that is killed after so many changes; returns its phase."""
        self.now += timedelta(minutes=1)
        found = self.decide(emergency=emergency)
        changes: list[Any] = [
            lambda pair=pair: self.store.update([pair]) for pair in found.values.items() if steps.STORE in found.steps
        ]
        changes += [self.release] if steps.RELEASE in found.steps else []
        for change in changes[:until]:
            change()
        if until >= len(changes) and self.decide(after=True).steps == [steps.RECORD]:
            self.entry("rotated", secrets=self.decide(after=True).secrets)
        return found.new


def test_three_runs_change_the_key() -> None:
    world = World()
    assert world.run() == signing.ANNOUNCE
    assert world.live == {"KEY": "first", "OTHER": "made-0"}
    assert world.run() == signing.SIGN
    assert world.live == {"KEY": "made-0", "OTHER": "first"}
    assert world.run() == signing.WAIT
    world.now += timedelta(hours=HOURS)
    assert world.run() == signing.FORGET
    assert world.live == {"KEY": "made-0", "OTHER": "made-0"}
    assert world.run() == signing.ANNOUNCE
    assert world.gaps == []


def test_killed_anywhere_nobody_is_logged_out() -> None:
    for cuts in itertools.product(range(4), repeat=4):
        world = World()
        for cut in cuts:
            world.run(cut)
        # A night each, until the key has changed and is alone.
        for _night in range(12):
            world.now += timedelta(hours=HOURS)
            world.run()
            if world.live["KEY"] == world.live["OTHER"] != "first":
                break
        assert world.live["KEY"] == world.live["OTHER"] != "first", cuts
        assert world.live == world.store
        assert world.gaps == [], cuts


def test_in_an_emergency_only_a_new_key_is_believed() -> None:
    world = World()
    world.run(emergency=True)
    assert world.live["KEY"] == world.live["OTHER"] != "first"
    assert world.gaps != []


def test_the_old_key_is_known_when_its_releases_are_forgotten() -> None:
    world = World()
    world.run()
    world.run()
    held = world.live
    for item in world.entries[:-2]:
        item["manifest"] = None
    world.now += timedelta(minutes=5)
    # Not announced, which would sign with the old one again.
    assert world.decide().new == signing.WAIT
    assert world.live == held


def test_a_rollback_keeps_the_keys_of_now() -> None:
    world = World()
    first = world.manifest()
    world.run()
    world.run()
    history = world.app().history
    back = {**credentials.versions(first), **credentials.revoked(history.credentials, first)}
    assert back == credentials.versions(world.manifest()) != credentials.versions(first)


def test_both_are_needed() -> None:
    world = World()
    del world.live["OTHER"]
    with pytest.raises(steps.RotationError, match="does not use both KEY and OTHER"):
        world.decide()
