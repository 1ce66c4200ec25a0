# SPDX-License-Identifier: Apache-2.0
"""pgBackRest as the backup program uses it, with commands that are not run."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client, restore

HOST = {"stanza": "main"}
FORKED = "ERROR: [058]: target timeline 3 forked from backup timeline 2 at 0/f000b1b0 which is before backup lsn of 0/fc000028"
STORE = Repository("store", 1, None, (), "0000000300000000000000F0")


class Commands:
    """Answers in order; keeps what was asked."""

    def __init__(self, *answers: Done) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, _: Any, *words: str, timeout: float = 60) -> Done:
        self.asked.append(words)
        return self.answers.pop(0)


def test_a_backup_made_after_going_back_is_restored_on_its_own_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(Done(58, "", FORKED), Done(0, "", ""))
    monkeypatch.setattr(client, "pgbackrest", commands)
    assert client.restore_files(HOST, "latest", "--repo=1", timeout=1).code == 0
    assert [words[1] for words in commands.asked] == ["--target-timeline=latest", "--target-timeline=current"]


def test_a_timeline_that_was_asked_for_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(Done(58, "", FORKED))
    monkeypatch.setattr(client, "pgbackrest", commands)
    assert client.restore_files(HOST, "3", timeout=1).code == 58


@pytest.mark.parametrize(("cores", "used"), [(8, 8), (1, 4)])
def test_a_restore_uses_every_core_and_no_fewer_processes_than_a_backup(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, used: int
) -> None:
    commands = Commands(Done(0, "", ""))
    monkeypatch.setattr(client, "pgbackrest", commands)
    monkeypatch.setattr(restore.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    plan = {"number": 1, "repository": "store", "backup": "new", "kind": "latest", "value": "", "timeline": "latest"}
    restore._restore({**HOST, "jobs": 4, "data": str(tmp_path / "main")}, plan)
    assert f"--process-max={used}" in commands.asked[0]


def test_the_last_file_of_an_older_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = (
        "17-1/0000000200000000/0000000200000000000000FC-ab.zst\n17-1/0000000200000001/000000020000000100000001-cd.zst\n"
    )
    monkeypatch.setattr(client, "pgbackrest", Commands(Done(0, listing, "")))
    assert client.last_on(HOST, STORE, 2) == "000000020000000100000001"
    assert client.last_on(HOST, STORE, 3) == STORE.last_wal


def test_a_store_where_nobody_listens_is_known_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    host = {**HOST, "repositories": [{"name": "store", "endpoint": f"127.0.0.1:{port}"}]}
    (found,) = client.repositories(host)
    assert found.failure and found.failure.kind == "unreachable"
    assert f"the object store 127.0.0.1:{port} does not answer" in found.failure.message
