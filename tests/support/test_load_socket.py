# SPDX-License-Identifier: Apache-2.0
"""The load client's WebSockets must see every end that was not announced, and come back from one that was."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.load import Ask, Client, Load, Report, Settings
from tests.support.load_socket import CLOSE, GOING_AWAY, MAGIC, NORMAL, PING, PONG, TEXT
from tests.support.test_load import GOOD, reset

Frame = tuple[int, bytes]


class Peer:
    """The server's side of one WebSocket whose request was read."""

    def __init__(self, connection: socket.socket, key: bytes) -> None:
        self.connection, self._key = connection, key

    def accept(self, version: str = "v1", key: bytes | None = None) -> None:
        proof = base64.b64encode(hashlib.sha1((key or self._key) + MAGIC).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        self.connection.sendall(head + b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n")
        if version:
            self.send(TEXT, json.dumps({"type": "hello", "version": version}).encode())

    def send(self, kind: int, data: bytes) -> None:
        length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        self.connection.sendall(bytes([0x80 | kind]) + length + data)

    def hear(self) -> Frame:
        head = self._bytes(6)
        assert head[1] & 0x80, "a client masks what it says"
        data = self._bytes(head[1] & 0x7F)
        return head[0] & 0x0F, bytes(byte ^ head[2 + at % 4] for at, byte in enumerate(data))

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data))
            if not more:
                raise OSError("the client has gone")
            data += more
        return data

    def talk(self, pongs: int = 10**6) -> None:
        """Answer so many pings, or until the client says goodbye."""
        while pongs:
            kind, data = self.hear()
            if kind == PING:
                self.send(PONG, data)
                pongs -= 1
            elif kind == CLOSE:
                self.send(CLOSE, data)
                return

    def send_away(self, code: int = GOING_AWAY) -> None:
        self.send(CLOSE, code.to_bytes(2, "big") + b"going away")
        while self.hear()[0] != CLOSE:
            pass


Behaviour = Callable[[Peer, int], None]


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of a server that answers requests, and does with its WebSockets as it is told; they are numbered."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    numbers = iter(range(10**6))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    if not (more := connection.recv(4096)):
                        return
                    head += more
                lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                if b"Upgrade" in lines:
                    assert lines[b"Connection"] == b"Upgrade" and lines[b"Sec-WebSocket-Version"] == b"13"
                    behaviour(Peer(connection, lines[b"Sec-WebSocket-Key"]), next(numbers))
                    # Closed with something unread, what was sent last would be lost to a reset.
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(4096):
                        pass
                    return
                connection.sendall(GOOD)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def load(behaviour: Behaviour, seen: Callable[[Report], bool], sockets: int = 1) -> Report:
    """The report of a load that lasts until something is seen."""
    with serving(behaviour) as url:
        settings = Settings(url, (Ask("GET", "/"),), workers=1, rate=50, seconds=20, timeout=1, sockets=sockets)
        client = Client(settings)

        def watch() -> None:
            while not seen(client.report):
                time.sleep(0.02)
            client.stop()

        threading.Thread(target=watch, daemon=True).start()
        return client.run()


def polite(peer: Peer, number: int) -> None:
    peer.accept()
    peer.send(TEXT, b'{"type": "slot", "x": "' + b"x" * 300 + b'"}')
    peer.send(PING, b"server's own")
    peer.talk()


def test_a_good_server_has_no_failures() -> None:
    report = load(polite, lambda report: report.sockets.pongs >= 10 and report.total > 0, sockets=5)
    assert report.failed == 0 and report.failures == [] and report.total > 0
    seen = report.sockets
    assert (seen.opened, seen.notices, seen.retired, seen.versions) == (5, 5, 0, {"v1": 5})
    assert seen.pongs >= 10


def test_a_retired_one_comes_back_to_the_next_version() -> None:
    def behave(peer: Peer, number: int) -> None:
        peer.accept(f"v{1 + number // 3}")
        if number < 3:
            peer.talk(pongs=1)
            peer.send_away()
        else:
            peer.talk()

    report = load(behave, lambda report: report.sockets.opened == 6, sockets=3)
    assert report.failed == 0, str(report)
    assert (report.sockets.opened, report.sockets.retired) == (6, 3)
    assert report.sockets.versions == {"v1": 3, "v2": 3}


def gone_and_the_same_again(peer: Peer, number: int) -> None:
    peer.accept()
    peer.talk(pongs=1)
    peer.send_away()


def gone_with(code: int) -> Behaviour:
    def behave(peer: Peer, number: int) -> None:
        peer.accept()
        peer.talk(pongs=1)
        peer.send_away(code)

    return behave


def just_ends(peer: Peer, number: int) -> None:
    peer.accept()
    peer.talk(pongs=1)


def ends_in_a_frame(peer: Peer, number: int) -> None:
    peer.accept()
    peer.hear()
    peer.connection.sendall(b"\x81\x10half")


def resets(peer: Peer, number: int) -> None:
    peer.accept()
    peer.talk(pongs=1)
    reset(peer.connection)


def silent(peer: Peer, number: int) -> None:
    peer.accept()
    while True:
        peer.hear()


def answers_something_else(peer: Peer, number: int) -> None:
    peer.accept()
    _, data = peer.hear()
    peer.send(PONG, data[::-1])
    peer.talk()


def greets_nobody(peer: Peer, number: int) -> None:
    peer.accept("")
    peer.talk()


def somebody_else_s(peer: Peer, number: int) -> None:
    peer.accept(key=b"c29tZWJvZHkgZWxzZSdz")


def bad_gateway(peer: Peer, number: int) -> None:
    peer.connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


def goes_on_after_goodbye(peer: Peer, number: int) -> None:
    gone_and_the_same_again(peer, number)
    peer.send(TEXT, b"still here")


def never_ends_after_goodbye(peer: Peer, number: int) -> None:
    gone_and_the_same_again(peer, number)
    peer.connection.recv(1)


def does_not_say_goodbye(peer: Peer, number: int) -> None:
    peer.accept()
    while (frame := peer.hear())[0] != CLOSE:
        peer.send(PONG, frame[1])


def in_parts(peer: Peer, number: int) -> None:
    peer.accept()
    peer.connection.sendall(b"\x01\x02hi")
    peer.talk()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (gone_and_the_same_again, "sent away by v1 and greeted by it again"),
        (gone_with(NORMAL), "closed by the server with 1000"),
        (gone_with(1011), "closed by the server with 1011"),
        (just_ends, "closed the connection"),
        (ends_in_a_frame, "closed the connection after 6 unread bytes"),
        (resets, "ConnectionResetError"),
        (silent, "no pong within 1 s"),
        (answers_something_else, "a frame nobody asked for"),
        (greets_nobody, "no greeting within 1 s"),
        (somebody_else_s, "somebody else's handshake"),
        (bad_gateway, "status 502 and no WebSocket"),
        (goes_on_after_goodbye, "went on after its close frame"),
        (never_ends_after_goodbye, "timed out"),
        (does_not_say_goodbye, "closed the connection"),
        (in_parts, "a frame in parts"),
    ],
)
def test_every_other_end_is_a_failure(behaviour: Behaviour, words: str) -> None:
    # The one that does not say goodbye has to be left first.
    leave = behaviour is does_not_say_goodbye
    report = load(behaviour, lambda report: report.failed > 0 or (leave and report.sockets.pongs > 0))
    assert report.failed == report.sockets.failed > 0, str(report)
    assert {(failure.method, failure.path) for failure in report.failures} == {("WS", "/api/live")}
    assert words in report.failures[0].what, report.failures[0]


def test_in_a_process_of_its_own() -> None:
    three = threading.Event()

    def behave(peer: Peer, number: int) -> None:
        if number == 2:
            three.set()
        polite(peer, number)

    with serving(behave) as url:
        with Load(url, Ask("GET", "/"), workers=1, rate=50, sockets=3) as load_:
            assert three.wait(30)
        assert load_.report.failed == 0 and load_.report.sockets.opened == 3
        assert load_.report.sockets.versions == {"v1": 3}
