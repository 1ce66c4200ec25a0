# SPDX-License-Identifier: Apache-2.0
"""The database host as the backup program uses it, with commands that are not run."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as backup_host
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError


def test_a_host_that_was_never_provisioned(tmp_path: Any) -> None:
    with pytest.raises(HostError, match=r"is not backed up from here; run provision.yml"):
        backup_host.settings(
            str(tmp_path / "backup.json"), "this database is not backed up from here; run provision.yml"
        )


def test_waiting_ends() -> None:
    assert not backup_host.wait_until(lambda: False, 0.01)
    assert backup_host.wait_until(lambda: True, 0)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command in place of psql."""

    def set_to(script: str) -> None:
        monkeypatch.setattr(backup_host, "_psql", lambda *_: ["sh", "-c", script])
        monkeypatch.setattr(backup_host, "_as_user", lambda **_: {"env": {"PATH": "/usr/bin:/bin"}})

    return set_to


def test_rows_come_while_they_are_written(stand_in: Any) -> None:
    stand_in("cat")
    with backup_host.rows({"port": 1}, "copy x to stdout", "shop", {"timezone": "UTC"}) as lines:
        assert list(lines) == ["copy x to stdout;\n"]
    with backup_host.rows({"port": 1}, "", "shop", {}) as lines:
        assert list(lines) == []


def test_rows_that_end_early_are_no_rows(stand_in: Any) -> None:
    stand_in("echo one; echo broken >&2; exit 3")
    with (
        pytest.raises(HostError, match=r"on port 1 did not answer.*broken"),
        backup_host.rows({"port": 1}, "copy", "shop", {}) as lines,
    ):
        assert list(lines) == ["one\n"]


def test_rows_nobody_reads_to_the_end_are_ended(stand_in: Any) -> None:
    stand_in("exec yes")
    with contextlib.suppress(ZeroDivisionError), backup_host.rows({"port": 1}, "copy", "shop", {}) as lines:
        assert next(lines) == "y\n"
        raise ZeroDivisionError
    assert lines.closed  # type: ignore[attr-defined]
