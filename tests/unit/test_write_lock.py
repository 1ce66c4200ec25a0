# SPDX-License-Identifier: Apache-2.0
"""A server that lets nobody in but its superuser, and a scratch server that is held where it was told; with commands that are not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup import write_lock
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done, HostError
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client

HOST = {"version": "17", "unit": "pg", "stanza": "main", "drill_port": 5499}
POINT = "20261123T100000Z-v1.1.0"


class Server:
    """Answers for systemctl and SQL; what was asked, with the files there were then."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.settings, self.rules = folder / "zz-sluice-locked.conf", folder / "hba.conf"
        self.asked: list[tuple[str, bool]] = []
        self.takes_it = True
        self.enabled = {"sluice-heartbeat.service"}
        patch.setattr(write_lock, "_files", lambda _: (str(self.settings), str(self.rules)))
        patch.setattr(write_lock, "write_atomic", lambda path, text, **_: Path(path).write_text(text))
        patch.setattr(write_lock, "systemctl", self.systemctl)
        patch.setattr(write_lock, "sql", self.sql)

    def systemctl(self, verb: str, *words: str, seconds: float = 60) -> int:
        if verb == "is-enabled":
            return 0 if words[-1] in self.enabled else 1
        self.asked.append((f"{verb} {words[-1]}", self.settings.exists()))
        return 0

    def sql(self, _: Any, query: str) -> str:
        return (str(self.rules) if self.takes_it else "/etc/pg_hba.conf") if "hba_file" in query else "t"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


def test_it_restarts_with_rules_that_let_one_in(server: Server) -> None:
    write_lock.lock(HOST)
    assert server.asked[-1] == ("restart pg", True)
    assert ("stop sluice-heartbeat.service", False) in server.asked
    assert server.rules.read_text() == "local all postgres peer\n"
    assert f"hba_file = '{server.rules}'\nlisten_addresses = ''\n" in server.settings.read_text()
    assert write_lock.is_locked(HOST)


def test_a_server_that_does_not_read_the_file_is_not_taken_for_closed(server: Server) -> None:
    server.takes_it = False
    with pytest.raises(HostError, match=r"so it cannot be locked: does its postgresql.conf include conf.d"):
        write_lock.lock(HOST)


def test_it_opens_by_a_restart_without_them_and_starts_what_is_enabled(server: Server) -> None:
    write_lock.lock(HOST)
    server.asked.clear()
    write_lock.unlock(HOST)
    assert server.asked == [("restart pg", False), ("start sluice-heartbeat.service", False)]
    assert not server.rules.exists() and not write_lock.is_locked(HOST)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A scratch server that is started by nobody; its log is the test's."""
    monkeypatch.setattr(backup_scratch, "control_data", lambda *_: {"max_connections setting": "200"})
    monkeypatch.setattr(backup_scratch, "as_postgres", lambda *_, **__: Done(0, "", ""))
    found = backup_scratch.at(HOST, str(tmp_path))
    Path(found["data"]).mkdir()
    Path(found["data"], "postmaster.pid").touch()
    return found


def held(scratch: dict[str, Any], monkeypatch: pytest.MonkeyPatch, log: str) -> str:
    """Start it held at the point; the options it was started with."""
    given: list[str] = []

    def pg_ctl(_: Any, *words: str, seconds: float = 60) -> Done:
        given.extend(words)
        Path(scratch["socket"], "log").write_text(log)
        return Done(0, "", "")

    monkeypatch.setattr(backup_scratch, "_pg_ctl", pg_ctl)
    monkeypatch.setattr(backup_scratch, "sql", lambda *_: "t")
    backup_scratch.start_at(scratch, POINT, client.fetch(scratch, 2), 1)
    return given[-1]


def test_it_is_held_alone_without_an_archive_and_with_room_for_what_it_replays(
    scratch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = held(scratch, monkeypatch, f'LOG:  recovery stopping at restore point "{POINT}", time 2026\n')
    for setting in (
        "recovery_target_action='pause'",
        "hot_standby='on'",
        "archive_mode='off'",
        "listen_addresses=''",
        "max_connections='200'",
    ):
        assert setting in options
    assert "--repo=2" in options and f"--pg1-path={scratch['data']}" in options


def test_one_that_pauses_elsewhere_is_not_at_the_point(
    scratch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(backup_scratch.RecoveryFailed, match=f"stopped before restore point {POINT}"):
        held(scratch, monkeypatch, "WARNING:  hot standby is not possible because of insufficient parameter settings\n")
