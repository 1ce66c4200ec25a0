# SPDX-License-Identifier: Apache-2.0
"""State files are whole or the old ones, private, and locked."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import files


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.write_atomic(str(path), "one")
    files.write_atomic(str(path), "two", mode=0o640)
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [item.name for item in tmp_path.iterdir()] == ["state.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    files.write_atomic(str(path), "old")

    def power_cut(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(OSError, match="no space left"):
        files.write_atomic(str(path), "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["state.json"]


def test_the_text_is_on_disk_before_the_name_points_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("sync"), real_fsync(descriptor))[1])
    monkeypatch.setattr(os, "replace", lambda old, new: (order.append("rename"), real_replace(old, new))[1])
    files.write_atomic(str(tmp_path / "state.json"), "text")
    assert order == ["sync", "rename", "sync"]


def test_missing_folders_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    files.write_json(str(tmp_path / "a" / "b" / "c.json"), {"x": 1})
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]


def test_json_comes_back_and_a_missing_file_is_the_default(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    assert files.read_json(path, {}) == {}
    files.write_json(path, {"b": [1], "a": None})
    assert files.read_json(path) == {"a": None, "b": [1]}


def test_a_lock_keeps_others_out_until_it_is_given_back(tmp_path: Path) -> None:
    path, order = str(tmp_path / "lock"), []

    def other() -> None:
        with files.locked(path):
            order.append("other")

    thread = threading.Thread(target=other)
    with files.locked(path):
        thread.start()
        thread.join(timeout=0.1)
        order.append("first")
    thread.join(timeout=5)
    assert order == ["first", "other"]
