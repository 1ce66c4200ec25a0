# SPDX-License-Identifier: Apache-2.0
"""What is ours around libpq: errors in one line, a bound on each wait, certificates out of the image. The lab's tests have the real one."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.migration import session
from ansible_collections.sluice.stack.plugins.module_utils.migration.session import Connection, DatabaseError
from ansible_collections.sluice.stack.plugins.module_utils.migration.url import target

URL = "postgresql://anna:hunter2@db.test/shop"


class Refused(Exception):
    """psycopg2's Error."""

    def __init__(self, text: str, code: str | None = None, primary: str = "", detail: str = "") -> None:
        super().__init__(text)
        self.pgcode, self.diag = code, SimpleNamespace(message_primary=primary, message_detail=detail)


class Driver:
    """A stand-in for psycopg2: it refuses what ``refusal`` says; a query waits as psycopg2 does, until ``polls`` is empty."""

    Error = Refused

    def __init__(self) -> None:
        self.extensions = self
        self.refusal: Refused | None = None
        self.polls: list[int] = []
        self.waiting: Callable[[Any], None] | None = None
        self.seen: dict[str, bytes] = {}
        self.modes: set[int] = set()
        self.conninfo = ""
        self.autocommit = False
        self.server_version = 150003
        self.description = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
        self.mine, self.theirs = socket.socketpair()

    def connect(self, conninfo: str) -> Driver:
        assert self.waiting is None, "libpq itself connects, and keeps connect_timeout for each host"
        self.conninfo = conninfo
        for part in conninfo.split():
            name, _, value = part.replace("'", "").partition("=")
            if name.startswith("ssl") and os.path.isfile(value):
                self.seen[name] = open(value, "rb").read()  # noqa: SIM115
                self.modes |= {
                    stat.S_IMODE(os.stat(value).st_mode),
                    stat.S_IMODE(os.stat(os.path.dirname(value)).st_mode),
                }
        if self.refusal:
            raise self.refusal
        return self

    def set_wait_callback(self, waiting: Callable[[Any], None] | None) -> None:
        self.waiting = waiting

    def poll(self) -> int:
        return self.polls.pop(0) if self.polls else 0

    def fileno(self) -> int:
        return self.mine.fileno()

    def cursor(self) -> Driver:
        return self

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""

    def execute(self, _: str) -> None:
        assert self.waiting and self.autocommit
        self.waiting(self)
        if self.refusal:
            raise self.refusal

    def fetchall(self) -> list[tuple[Any, Any]]:
        return [(1, None)]

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    one = Driver()
    monkeypatch.setattr(session, "driver", lambda: one)
    yield one
    one.mine.close()
    one.theirs.close()


def nothing(path: str) -> bytes:
    raise FileNotFoundError(f"image web has no file {path}")


def connect(query: str = "", read: Callable[[str], bytes] = nothing) -> Connection:
    return Connection(target(f"{URL}?{query}"), read)


def test_rows_come_by_name(driver: Driver) -> None:
    with connect() as connection:
        assert connection.version == 15
        assert connection.query("select") == [{"a": 1, "b": None}]
        driver.description = []
        assert connection.query("create") == []
    assert driver.waiting is None


def test_why_there_is_no_connection_is_one_line_without_the_password(driver: Driver) -> None:
    driver.refusal = Refused(
        "connection to server at one failed: refused\n\tIs it up?\nconnection to two failed: refused\n"
    )
    with pytest.raises(DatabaseError) as error:
        connect()
    assert str(error.value) == (
        "database 'shop' as 'anna': connection to server at one failed: refused; Is it up?; connection to two failed: refused"
    )
    driver.refusal = Refused('invalid dsn: invalid connection option "pool"\n')
    with pytest.raises(DatabaseError, match=r"^the URL has the parameter pool, which libpq does not know: remove it"):
        connect("pool=hunter3")
    driver.refusal = Refused("SSL error: certificate verify failed\n")
    with pytest.raises(DatabaseError, match="no CA in the URL's sslrootcert has signed"):
        connect()


def test_a_refused_statement_has_postgres_words_and_code(driver: Driver) -> None:
    connection = connect()
    driver.refusal = Refused("ERROR: …\nLINE 1", "55P03", "canceling statement due to lock timeout", "the detail")
    with pytest.raises(DatabaseError) as error:
        connection.query("alter")
    assert str(error.value) == "canceling statement due to lock timeout (the detail) (SQLSTATE 55P03)"
    assert error.value.sqlstate == "55P03"
    driver.refusal = Refused("server closed the connection unexpectedly\n\tThis probably means\n")
    with pytest.raises(
        DatabaseError, match=r"^server closed the connection unexpectedly; This probably means$"
    ) as error:
        connection.query("alter")
    assert error.value.sqlstate == "", "nobody knows whether it was done"


def test_a_copy_is_not_for_migrations(driver: Driver) -> None:
    connection = connect()
    driver.refusal = Refused("can't execute COPY FROM: use the copy_from() method instead")
    with pytest.raises(DatabaseError, match="COPY FROM STDIN is not supported in migrations"):
        connection.query("copy t from stdin")


def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_the_timeout(driver: Driver) -> None:
    connection = connect()
    driver.polls = [1] * 1000
    with pytest.raises(DatabaseError, match=r"^database 'shop' as 'anna': no response within 0\.05 s$"):
        connection.query("select", 0.05)
    assert driver.waiting is None


def test_who_waits_says_that_it_still_works(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "BEAT_SECONDS", 0.01)
    beats: list[int] = []
    connection = connect()
    driver.polls = [1, 1, 2]  # a socket can be written to at once
    connection.query("select", 60, lambda: beats.append(1))
    assert beats == [1, 1]

    def lost() -> None:
        raise RuntimeError("another run has the app")

    driver.polls = [1]
    with pytest.raises(RuntimeError, match="another run"):
        connection.query("select", 60, lost)


def test_certificates_come_from_the_image_and_are_gone_afterwards(driver: Driver) -> None:
    contents = {"/app/ca.pem": b"authority", "client.pem": b"mine", "/app/key.pem": b"secret"}
    query = "sslmode=verify-ca&sslrootcert=/app/ca.pem&sslcert=client.pem&sslkey=/app/key.pem"
    connect(query, contents.__getitem__)
    assert driver.seen == {"sslrootcert": b"authority", "sslcert": b"mine", "sslkey": b"secret"}
    assert driver.modes == {0o600, 0o700}
    paths = [
        part.split("'")[1] for part in driver.conninfo.split() if part.startswith(("sslroot", "sslcert", "sslkey"))
    ]
    assert len(paths) == 3
    assert not any(os.path.exists(os.path.dirname(path)) for path in paths)


def test_a_certificate_that_is_not_there_is_never_done_without(driver: Driver) -> None:
    with pytest.raises(
        DatabaseError, match=r"^the URL has sslrootcert=/app/ca\.pem, but image web has no file /app/ca\.pem$"
    ):
        connect("sslmode=require&sslrootcert=/app/ca.pem")
    assert driver.conninfo == "", "nothing was connected to"
