# SPDX-License-Identifier: Apache-2.0
"""WebSockets through the edge. It passes bytes on and knows no frames, so the apps here speak in lines."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.edge import CLIENT, VISITOR, Edge, slot_of


class Conversation:
    """A connection that asked for another protocol, and what it was answered."""

    def __init__(self, edge: Edge, path: str, offer: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", edge.port), 10)
        self._file = self._socket.makefile("rb")
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\n{CLIENT}: {VISITOR}\r\nConnection: Upgrade, HTTP2-Settings\r\n{offer}\r\n"
        self._socket.sendall(head.encode())
        self.status = int(self._line().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._line().strip():
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value

    def say(self, text: str) -> str:
        """The answer to a line; empty when the edge has ended the connection."""
        self._socket.sendall(f"{text}\n".encode())
        return self._line().strip()

    def ended(self, seconds: float) -> bool:
        """Whether the edge ends the connection within some seconds in which nothing is said."""
        self._socket.settimeout(seconds)
        try:
            return not self._file.read(1)
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def body(self) -> bytes:
        return self._file.read(int(self.headers["content-length"]))

    def _line(self) -> str:
        return self._file.readline().decode()


@contextmanager
def conversation(edge: Edge, path: str = "/live", offer: str = "Upgrade: websocket\r\n") -> Iterator[Conversation]:
    found = Conversation(edge, path, offer)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("offer", ["Upgrade: websocket\r\n", "Upgrade: WebSocket\r\n"])
def test_a_websocket_reaches_the_app(edge: Edge, offer: str) -> None:
    with conversation(edge, offer=offer) as one:
        assert (one.status, one.headers["upgrade"], one.headers["connection"]) == (101, "websocket", "upgrade")
        assert [one.say(text) for text in ("hello", "again")] == ["blue: hello", "blue: again"]


@pytest.mark.parametrize("offer", ["Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", "Upgrade: TLS/1.0\r\n", ""])
def test_any_other_offer_is_an_ordinary_request(edge: Edge, offer: str) -> None:
    with conversation(edge, offer=offer) as one:
        assert one.status == 200
        assert not {b"Upgrade", b"HTTP2-Settings"} & set(one.body().replace(b'"', b" ").split())


def test_a_flip_leaves_an_open_websocket_where_it_is(edge: Edge) -> None:
    with conversation(edge) as old:
        assert old.say("before") == "blue: before"
        edge.canary(100)
        assert slot_of(edge.ask()) == "green"
        with conversation(edge) as new:
            assert (old.say("after"), new.say("after")) == ("blue: after", "green: after")


def test_maintenance_leaves_an_open_websocket_and_opens_none(edge: Edge) -> None:
    with conversation(edge) as old:
        edge.maintain()
        with conversation(edge) as new:
            assert (new.status, new.headers["retry-after"]) == (503, "120")
        assert old.say("still") == "blue: still"


def test_a_silent_websocket_ends_after_the_time_of_its_route(edge: Edge) -> None:
    with conversation(edge, "/brief") as brief, conversation(edge) as other:
        for _ in range(4):
            time.sleep(0.4)
            assert brief.say("hello") == "blue: hello", "each word begins the silence anew"
        begin = time.monotonic()
        assert brief.ended(3) and time.monotonic() - begin > 0.8
        assert other.say("hello") == "blue: hello", "it was silent for longer, and may be"


def test_a_websocket_is_logged_when_it_ends_as_what_it_was(edge: Edge) -> None:
    with conversation(edge, "/live/logged") as one:
        one.say("hello")
        edge.canary(100)
    (entry,) = edge.log(lambda entry: entry["uri"] == "/live/logged")
    assert (entry["status"], entry["slot"], entry["release"]) == (101, "blue", "r1")
