# SPDX-License-Identifier: Apache-2.0
"""Back to what was moved aside, on directories instead of servers: also when it is killed between any two steps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import revert


class Killed(BaseException):
    """The process ends here."""


class World:
    """A live cluster on timeline 2, and what it was before it was restored."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.dies_at, self.system = "", {"main.left-1": "7", "main.before-1": "7"}
        self.data, self.aside, self.left = (folder / name for name in ("main", "main.before-1", "main.left-1"))
        for path in (self.data, self.aside):
            (path / "pg_wal").mkdir(parents=True)
        (self.data / "pg_wal" / "00000002.history").write_text("1\t0/1\tbefore\n")
        (self.aside / "old rows").touch()
        (self.aside / "postgresql.auto.conf").write_text("recovery_target_name = 'long ago'\n")
        self.host = {"data": str(self.data), "unit": "pg", "stanza": "main"}
        patch.setattr(revert, "STATE", str(folder))
        patch.setattr(revert, "control_data", lambda _, path: {revert.SYSTEM: self.system.get(Path(path).name)})
        patch.setattr(revert, "stop_unit", lambda _: self.step("stop server"))
        patch.setattr(revert, "sync_directory", lambda _: self.step("moved"))
        patch.setattr(revert.shutil, "chown", lambda *_: None)
        for name in ("stop_units", "remove_files", "start_units"):
            patch.setattr(revert.write_lock, name, lambda *_, name=name: self.step(name))
        patch.setattr(revert.restore, "recover", self.recover)
        patch.setattr(revert.restore, "end", lambda _: {"new_timeline": 3})
        rename = os.rename
        patch.setattr(revert.os, "rename", lambda old, new: (self.step(f"rename {Path(old).name}"), rename(old, new)))

    def step(self, name: str) -> None:
        if name == self.dies_at:
            self.dies_at = ""
            raise Killed(name)
        self.done.append(name)

    def recover(self, _: Any) -> None:
        self.step("recover")
        (self.data / "recovery.signal").unlink(missing_ok=True)

    def go(self) -> dict[str, Any]:
        return revert.revert(self.host, "1")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_the_old_data_begin_a_timeline_of_their_own(world: World) -> None:
    assert world.go()["new_timeline"] == 3
    assert (world.data / "old rows").exists() and world.left.exists() and not world.aside.exists()
    told = (world.data / "postgresql.auto.conf").read_text()
    # Its own history and no later one, and a number that is free even when no archive answers.
    assert "recovery_target_timeline = 'current'" in told and "archive-get" in told
    # What an earlier restore was told does not count.
    assert told.startswith("recovery_target_name = 'long ago'") and told.index("recovery_target_name = ''") > 10
    assert (world.data / "pg_wal" / "00000002.history").exists()
    assert world.done[-3:] == ["remove_files", "recover", "start_units"]


def test_another_clusters_histories_are_not_taken_over(world: World) -> None:
    world.system["main.left-1"] = "8"
    world.go()
    assert not (world.data / "pg_wal" / "00000002.history").exists()


@pytest.mark.parametrize(
    "step", ["stop server", "rename main", "rename main.before-1", "moved", "remove_files", "recover", "start_units"]
)
def test_killed_anywhere_the_same_call_ends_it(world: World, step: str) -> None:
    world.dies_at = step
    with pytest.raises(Killed):
        world.go()
    world.go()
    assert (world.data / "old rows").exists() and world.left.exists() and not world.aside.exists()
    assert not (world.data / "recovery.signal").exists()


@pytest.mark.parametrize("identity", ["", "../main", "1/../../etc", "a b"])
def test_what_is_no_id_is_refused(world: World, identity: str) -> None:
    with pytest.raises(HostError, match="is no restore's id"):
        revert.revert(world.host, identity)
    assert world.done == []


def test_what_was_never_moved_aside_cannot_be_gone_back_to(world: World) -> None:
    shutil.rmtree(world.aside)
    with pytest.raises(HostError, match=r"there is no .*main\.before-1 to revert to"):
        world.go()


def test_what_was_left_the_last_time_is_not_overwritten(world: World) -> None:
    world.left.mkdir()
    with pytest.raises(HostError, match="remove it when nobody needs it"):
        world.go()
    assert world.aside.exists() and not (world.data / "old rows").exists()
