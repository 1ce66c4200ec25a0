# SPDX-License-Identifier: Apache-2.0
"""A restore point counts when its WAL file is in the archive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import restore_point

FILE = "00000001000000000000000A"


@pytest.mark.parametrize(
    ("last", "there"),
    [
        (None, False),
        ("000000010000000000000009", False),
        (FILE, True),
        ("00000001000000000000000B", True),
        ("00000001000000000000000A.00000028.backup", True),
        ("00000002.history", False),
        ("00000002000000000000000F", False),
    ],
)
def test_whether_a_file_is_archived(last: str | None, there: bool) -> None:
    assert restore_point.archived(last, FILE) is there


class Server:
    """Answers what `sql` asks."""

    def __init__(self, archived: str | None, archives: str = "on") -> None:
        self.archived, self.archives, self.asked = archived, archives, ""

    def sql(self, host: Any, query: str) -> str:
        self.asked += query
        if "pg_create_restore_point" in query:
            made = {"name": "r1", "lsn": "0/A000090", "file": FILE, "system_id": "7", "time": "t"}
            return json.dumps({**made, "archives": self.archives})
        return json.dumps({"archived": self.archived, "failed": FILE, "at": "11:00", "times": 3})


def served(monkeypatch: pytest.MonkeyPatch, server: Server) -> Server:
    monkeypatch.setattr(restore_point, "sql", server.sql)
    return server


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    server = served(monkeypatch, Server(FILE))
    made = restore_point.make({}, "r1", 1)
    assert made == {"name": "r1", "lsn": "0/A000090", "system_id": "7", "time": "t", "timeline": 1}
    assert server.asked.index("pg_create_restore_point") < server.asked.index("pg_switch_wal")


def test_a_file_that_does_not_arrive_is_an_error_that_names_the_archivers(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, Server("000000010000000000000009"))
    with pytest.raises(HostError) as error:
        restore_point.make({}, "r1", 0.01)
    assert str(error.value) == (
        f"restore point r1: WAL file {FILE} was not archived within 0.01 s. The archiver got as far as 000000010000000000000009; "
        f"its last failure is {FILE} at 11:00 (3 in all). See playbooks/backup/status.yml"
    )


def test_a_server_that_does_not_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, Server(None, "off"))
    with pytest.raises(HostError, match="does not archive its WAL"):
        restore_point.make({}, "r1", 1)


@pytest.mark.parametrize("name", ["", "a'b", "-x", "x" * 64, "a b"])
def test_what_is_no_name_never_reaches_the_server(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    server = served(monkeypatch, Server(FILE))
    with pytest.raises(HostError):
        restore_point.make({}, name, 1)
    assert server.asked == ""
