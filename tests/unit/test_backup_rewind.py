# SPDX-License-Identifier: Apache-2.0
"""A rewind, step by step, on directories instead of servers: what happens in which order, and what a failure or a kill leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.backup import write_lock
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import restore, rewind

POINT = "20261123T100000Z-v1.1.0"
COUNTS = {
    "tables": {"shop.public.orders": {"inserted": 3, "updated": 2, "deleted": 1}},
    "bags": [],
    "schema": [],
    "left_out": [],
    "compared": 4,
}


class Killed(BaseException):
    """The process ends here: nothing of it runs any more."""


class World:
    """What the steps would do to a host, written down in their order; ``fails`` makes one of them fail."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.locked, self.timeline = False, 1
        self.data, self.scratch = folder / "main", folder / "main.rewind"
        self.host = {
            "stanza": "main",
            "data": str(self.data),
            "unit": "pg",
            "version": "17",
            "drill_port": 1,
            "drill_seconds": 1,
        }
        self.data.mkdir()
        (self.data / "live").touch()
        patch.setattr(rewind, "STATE", str(folder))
        patch.setattr(rewind, "RECORD", str(folder / "rewind.json"))
        patch.setattr(rewind, "sql", lambda *_: "f")
        patch.setattr(rewind, "control_data", lambda *_: {"Database system identifier": "7"})
        patch.setattr(rewind, "_restored", self.restored)
        patch.setattr(rewind, "stop_unit", lambda _: self.step("stop server"))
        patch.setattr(rewind.backup_scratch, "start_at", lambda *_: self.step("hold scratch"))
        patch.setattr(rewind.backup_scratch, "stop", lambda *_: None)
        patch.setattr(rewind.rows, "differences", lambda *_: self.step("count") or COUNTS)
        for name in ("lock", "unlock", "remove_files", "start_units", "stop_jobs"):
            patch.setattr(write_lock, name, getattr(self, name))
        patch.setattr(write_lock, "is_locked", lambda _: self.locked)
        patch.setattr(restore, "recover", lambda _: self.step("recover"))
        patch.setattr(restore, "timeline", lambda _: self.timeline)
        patch.setattr(restore, "end", self.end)

    def step(self, name: str) -> None:
        self.done.append(name)
        if name in self.fails:
            raise self.fails[name]

    def restored(self, *_: Any) -> dict[str, Any]:
        self.step("restore")
        (self.scratch / "data").mkdir(parents=True)
        (self.scratch / "data" / "past").touch()
        return {"point": POINT, "system_id": 7, "repository": "store", "number": 1, "backup": "b"}

    def lock(self, _: Any) -> None:
        self.locked = True
        self.step("lock")

    def unlock(self, _: Any) -> None:
        self.step("unlock")
        self.locked = False

    def remove_files(self, _: Any) -> None:
        self.step("remove files")
        self.locked = False

    def start_units(self) -> None:
        self.step("start units")

    def stop_jobs(self) -> None:
        pass

    def end(self, _: Any) -> dict[str, Any]:
        self.timeline = 2
        return {"new_timeline": 2, "new_system_id": 7, "heartbeat": None}

    def holds(self) -> str:
        """What the live directory has in it."""
        return ", ".join(path.name for path in self.data.iterdir()) if self.data.exists() else "nothing"

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(rewind.RECORD, {})
        return found

    def rewind(self) -> dict[str, Any]:
        return rewind.rewind(self.host, POINT, "", POINT)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_comparison_leaves_nothing(world: World) -> None:
    found = rewind.compare(world.host, POINT, "", keep=False)
    assert found["tables"] == COUNTS["tables"]
    assert world.done == ["restore", "hold scratch", "count"]
    assert world.holds() == "live" and not world.scratch.exists() and world.record() == {}


def test_nobody_can_write_between_the_count_and_the_move(world: World) -> None:
    record = world.rewind()
    assert world.done == [
        "restore",
        "hold scratch",
        "lock",
        "count",
        "stop server",
        "remove files",
        "recover",
        "start units",
    ]
    assert world.holds() == "past" and not world.scratch.exists()
    assert (
        Path(record["aside"], "live").exists()
        and record["revert"] == f"sluice-backup revert --restore {POINT} && sluice-backup full"
    )
    assert world.record()["tables"] == COUNTS["tables"]


def test_what_was_compared_and_kept_is_what_is_gone_over_to(world: World) -> None:
    rewind.compare(world.host, POINT, "", keep=True)
    world.rewind()
    assert world.done.count("restore") == 1 and world.done.count("count") == 2


def test_another_points_scratch_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rewind.compare(world.host, POINT, "", keep=True)
    rewind.backup_scratch.remove(rewind._scratch(world.host))
    monkeypatch.setattr(rewind, "control_data", lambda *_: {"Database system identifier": "8"})
    rewind.compare(world.host, POINT, "", keep=False)
    assert world.done.count("restore") == 2


def test_it_is_confirmed_with_the_releases_name(world: World) -> None:
    with pytest.raises(plans.Refused, match="confirm with the id of the release"):
        rewind.rewind(world.host, POINT, "", "yes")
    assert world.done == []


@pytest.mark.parametrize("point", ["20261123T100000Z-v1; rm -rf /", "", "-x"])
def test_a_name_that_is_none(world: World, point: str) -> None:
    with pytest.raises(plans.Refused, match="a name is up to 63 letters"):
        rewind.compare(world.host, point, "", keep=False)


@pytest.mark.parametrize("step", ["restore", "hold scratch", "lock", "count"])
def test_a_failure_before_the_move_changes_nothing(world: World, step: str) -> None:
    world.fails = {step: HostError("no")}
    with pytest.raises(HostError, match=r"no\. Nothing was changed, and the database takes connections$"):
        world.rewind()
    assert world.holds() == "live" and not world.locked and not world.scratch.exists() and world.record() == {}
    assert world.done[-1] == ("unlock" if step in ("lock", "count") else "start units")


def test_a_failure_that_cannot_be_undone_says_so(world: World) -> None:
    world.fails = {"count": HostError("no"), "unlock": HostError("the server did not come up again")}
    with pytest.raises(
        HostError, match=r"Nothing was changed, and the server did not come up again. Then: sluice-backup unlock"
    ):
        world.rewind()


@pytest.mark.parametrize("step", ["stop server", "remove files", "recover", "start units"])
def test_a_run_that_was_killed_is_taken_up_where_it_was(world: World, step: str) -> None:
    world.fails = {step: Killed()}
    with pytest.raises(Killed):
        world.rewind()
    counted = world.done.count("count")
    world.fails = {}
    if step in ("remove files", "recover"):
        # A playbook compares before it goes back: that must leave alone what the rewind goes on with.
        assert rewind.compare(world.host, POINT, "", keep=True)["interrupted"]
        assert world.done.count("count") == counted
    record = world.rewind()
    assert world.holds() == "past" and not world.locked and record["new_timeline"] == 2
    assert world.done[-1] == "start units"
    # What was not moved yet is counted again; what was moved has its count, which is the last there can be.
    assert world.done.count("count") == counted + (step == "stop server")
    assert world.record()["tables"] == COUNTS["tables"]


def test_a_failure_in_the_middle_says_both_ways_out(world: World) -> None:
    world.fails = {"recover": HostError("the recovery did not finish")}
    with pytest.raises(HostError) as failed:
        world.rewind()
    assert (
        f"To continue: sluice-backup rewind --point {POINT} --confirm {POINT}. To revert: sluice-backup revert --restore {POINT}"
        in str(failed.value)
    )
    with pytest.raises(HostError, match=r"the data have been moved already\. To continue"):
        rewind.unlock(world.host)
    other = POINT.replace("v1.1.0", "v1.2.0")
    with pytest.raises(HostError, match=f"a rewind to {POINT} is under way"):
        rewind.rewind(world.host, other, "", other)


def test_what_was_done_is_not_done_again(world: World) -> None:
    world.rewind()
    done = list(world.done)
    assert world.rewind()["already"] and world.done == done
    assert rewind.compare(world.host, POINT, "", keep=True)["already"] and world.done == done
    # Somebody went back to what was there before, and kept what was moved aside: it is no longer what came of it.
    world.timeline = 1
    with pytest.raises(plans.Refused, match="this rewind was done before; remove it"):
        world.rewind()


def test_after_a_kill_the_lock_can_be_ended(world: World) -> None:
    world.fails = {"count": Killed(), "unlock": Killed()}
    with pytest.raises(Killed):
        world.rewind()
    world.fails = {}
    assert world.locked and rewind.unlock(world.host) and not world.locked
    assert not world.scratch.exists() and world.record() == {} and world.holds() == "live"
    assert not rewind.unlock(world.host)
