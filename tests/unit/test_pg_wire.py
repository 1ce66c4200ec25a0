# SPDX-License-Identifier: Apache-2.0
"""The connection to Postgres, against a server that says what a test has it say."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.migration import pg_wire
from ansible_collections.sluice.stack.plugins.module_utils.migration.pg_wire import Address, Connection, DatabaseError


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def error(text: str, code: str) -> bytes:
    return message(
        b"E", b"".join(part.encode() + b"\0" for part in ("SERROR", f"C{code}", f"M{text}", "Dthe detail")) + b"\0"
    )


def table(names: list[str], *rows: list[str | None]) -> bytes:
    said = struct.pack("!h", len(names)) + b"".join(name.encode() + b"\0" + bytes(18) for name in names)
    answer = message(b"T", said)
    for row in rows:
        cells = [
            struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell.encode())) + cell.encode()
            for cell in row
        ]
        answer += message(b"D", struct.pack("!h", len(row)) + b"".join(cells))
    return answer + message(b"C", b"SELECT\0")


READY = message(b"Z", b"I")
WELCOME = (
    message(b"R", struct.pack("!i", 0))
    + message(b"S", b"server_version\x0017.2 (Debian 17.2-1)\0")
    + message(b"S", b"default_role\0\0")  # a setting may be empty
    + message(b"N", b"SNOTICE\0\0")
    + READY
)


@pytest.fixture
def server() -> Iterator[Callable[..., Address]]:
    """Start a server that gives one answer after another; returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def start(*answers: bytes, mode: str = "disable") -> Address:
        def serve() -> None:
            client, _ = listener.accept()
            with client:
                for answer in answers:
                    if not client.recv(65536):
                        return
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return Address.of(f"postgresql://anna:hunter2@127.0.0.1:{listener.getsockname()[1]}/shop?sslmode={mode}")

    yield start
    listener.close()


def test_rows_come_by_name_and_nothing_is_none(server: Callable[..., Address]) -> None:
    with Connection(server(WELCOME, table(["a", "b"], ["1", None], ["é", ""]) + READY)) as connection:
        assert connection.version == 17
        assert connection.query("select") == [{"a": "1", "b": None}, {"a": "é", "b": ""}]


def test_an_error_has_postgres_words_and_code_and_the_session_goes_on(server: Callable[..., Address]) -> None:
    refused = error("canceling statement due to lock timeout", "55P03") + READY
    with Connection(server(WELCOME, refused, table(["a"], ["1"]) + READY)) as connection:
        with pytest.raises(DatabaseError, match=r"lock timeout \(the detail\) \(SQLSTATE 55P03\)") as raised:
            connection.query("alter")
        assert raised.value.sqlstate == "55P03"
        assert connection.query("select") == [{"a": "1"}]


def test_a_refused_log_in_says_which_database_and_no_password(server: Callable[..., Address]) -> None:
    with pytest.raises(DatabaseError) as raised:
        Connection(server(error("no pg_hba.conf entry", "28000")))
    assert str(raised.value).startswith("database 'shop' on 127.0.0.1:")
    assert "as 'anna': no pg_hba.conf entry" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_tls_that_is_wanted_and_not_there_is_refused(server: Callable[..., Address]) -> None:
    with pytest.raises(DatabaseError, match="the server has no TLS, and the URL wants sslmode=require"):
        Connection(server(b"N", mode="require"))


def test_tls_that_is_not_there_is_done_without_where_the_url_allows(server: Callable[..., Address]) -> None:
    with Connection(server(b"N", WELCOME, mode="prefer")) as connection:
        assert connection.version == 17


@pytest.mark.parametrize(
    ("kind", "words"),
    [(3, "in clear without TLS; use scram-sha-256"), (5, "a log-in of kind 5; scram-sha-256 is what this can do")],
)
def test_a_password_is_given_to_nobody_who_could_be_anybody(
    server: Callable[..., Address], kind: int, words: str
) -> None:
    with pytest.raises(DatabaseError, match=words):
        Connection(server(message(b"R", struct.pack("!i", kind) + b"salt")))


def test_a_connection_that_ends_is_told(server: Callable[..., Address]) -> None:
    connection = Connection(server(WELCOME))
    with pytest.raises(DatabaseError, match=r"the server ended the connection|the connection broke"):
        connection.query("select")
    connection.close()


def test_nobody_there_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DatabaseError, match=r"cannot be reached \(Connection refused\): is Postgres up"):
        Connection(Address.of(f"postgresql://a:b@127.0.0.1:{port}/shop"))


def test_the_nonce_must_be_ours() -> None:
    with pytest.raises(DatabaseError, match="not an answer to ours"):
        pg_wire._Scram("pencil").final(b"r=another,s=AAAA,i=4096")
