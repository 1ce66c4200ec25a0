# SPDX-License-Identifier: Apache-2.0
"""The load client must see every way a server can drop a request, and must not cry at what is none."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.load import Ask, Client, Load, Report, Settings, main

GOOD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 42\r\n\r\n{"version": "v1", "hostname": "app1.test"}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
ASKS = (Ask("GET", "/a"), Ask("POST", "/b", b'{"text": "' + b"x" * 3000 + b'"}'))

# What the server does with one request it has read; returns whether it goes on with the connection.
Behaviour = Callable[[socket.socket], bool]


class Server:
    """A server on a free local port that reads whole requests and answers each as it is told to."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # shutdown wakes the thread that waits in accept
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while _read_request(connection):
                self.requests += 1
                if not self._behaviour(connection):
                    return


def _read_request(connection: socket.socket) -> bool:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return False
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return True


def reset(connection: socket.socket) -> None:
    """End the connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def good(connection: socket.socket) -> bool:
    connection.sendall(GOOD)
    return True


def sends(data: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> bool:
        connection.sendall(data)
        return False

    return behave


def resets(connection: socket.socket) -> bool:
    reset(connection)
    return False


def resets_half_way(connection: socket.socket) -> bool:
    connection.sendall(GOOD[:60])
    reset(connection)
    return False


def silent(connection: socket.socket) -> bool:
    connection.recv(1)  # until the client gives up
    return False


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[Server]:
    server = Server(behaviour)
    try:
        yield server
    finally:
        server.close()


def load(behaviour: Behaviour, requests: int = 20, asks: tuple[Ask, ...] = ASKS, timeout: float = 2.0) -> Report:
    with serving(behaviour) as server:
        return Client(
            Settings(server.url, asks, workers=4, rate=2000, seconds=20, requests=requests, timeout=timeout)
        ).run()


def test_a_good_server_has_no_failures() -> None:
    report = load(good, requests=400)
    assert report.failed == 0 and report.failures == []
    assert report.total >= 400
    assert report.versions == {"v1": report.total} and report.hosts == {"app1.test": report.total}
    assert 0.35 < report.methods["POST"] / report.total < 0.65
    assert 0 < report.p99 <= report.max_latency


def test_chunked_answers_are_read_whole() -> None:
    def behave(connection: socket.socket) -> bool:
        connection.sendall(CHUNKED)
        return True

    assert load(behave).failed == 0


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        pytest.param(sends(b""), "closed the connection after 0", id="closes instead of answering"),
        pytest.param(sends(GOOD[:-10]), "closed the connection after 32", id="closes in the middle of the body"),
        pytest.param(sends(GOOD[:40]), "closed the connection after", id="closes in the middle of the headers"),
        pytest.param(sends(CHUNKED[:-5]), "closed the connection after", id="closes before the last chunk"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\n\r\nhello"), "without a length", id="cannot be told from a cut one"),
        pytest.param(sends(b"hello\r\n\r\n"), "not an HTTP response", id="speaks something else"),
        pytest.param(resets, "ConnectionResetError", id="resets instead of answering"),
        pytest.param(resets_half_way, "Reset|closed the connection", id="resets in the middle"),
        pytest.param(sends(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), "status 502", id="says 502"),
        pytest.param(sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "status 404", id="says 404"),
        pytest.param(sends(GOOD.replace(b'{"version', b"{{version")), "not JSON", id="mangles the body"),
    ],
)
def test_every_dropped_request_is_a_failure(behaviour: Behaviour, words: str) -> None:
    report = load(behaviour)
    assert report.failed == report.total >= 20
    for failure in report.failures:
        assert any(word in failure.what for word in words.split("|")), failure
        assert failure.method in ("GET", "POST") and failure.path in ("/a", "/b") and failure.time > 0


def test_one_in_many_is_seen() -> None:
    lock, count = threading.Lock(), iter(range(10**6))

    def behave(connection: socket.socket) -> bool:
        with lock:
            number = next(count)
        return resets(connection) if number == 150 else good(connection)

    report = load(behave, requests=300)
    assert report.failed == 1 and len(report.failures) == 1


def test_no_answer_at_all_is_a_failure() -> None:
    report = load(silent, requests=4, timeout=0.2)
    assert report.failed == report.total >= 4
    assert "no whole answer within 0.2 s" in report.failures[0].what


def test_nobody_listening_is_a_failure() -> None:
    with serving(good) as server:
        pass
    report = Client(Settings(server.url, ASKS, workers=1, rate=1000, seconds=5, requests=5)).run()
    assert report.failed == report.total == 5
    assert "ConnectionRefusedError" in report.failures[0].what


@pytest.mark.parametrize("end", [lambda connection: False, resets], ids=["closes", "resets"])
def test_a_connection_closed_between_requests_is_no_failure(end: Behaviour) -> None:
    def behave(connection: socket.socket) -> bool:
        good(connection)
        return end(connection)

    with serving(behave) as server:
        # One worker, slow enough that the end has arrived when it looks again.
        report = Client(Settings(server.url, (Ask("GET", "/"),), workers=1, rate=50, seconds=20, requests=20)).run()
    if end is resets:
        # A reset may overtake the answer: then the request was dropped, and is counted as such.
        assert report.reconnects + report.failed >= report.total - 1
    else:
        assert report.failed == 0 and report.reconnects == report.total - 1


def test_a_request_is_never_sent_twice() -> None:
    with serving(resets) as server:
        report = Client(Settings(server.url, ASKS, workers=4, rate=2000, seconds=20, requests=50)).run()
        assert server.requests == report.total == report.failed


def test_bytes_nobody_asked_for_are_a_failure() -> None:
    def behave(connection: socket.socket) -> bool:
        connection.sendall(GOOD + b"more")
        return True

    with serving(behave) as server:
        report = Client(Settings(server.url, (Ask("GET", "/"),), workers=1, rate=50, seconds=20, requests=10)).run()
    assert report.failed > 0
    assert all("before it was asked" in failure.what for failure in report.failures)


def test_the_expected_status_is_the_request_s_own() -> None:
    refuses = sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    assert load(refuses, asks=(Ask("GET", "/", expect=(404,)),)).failed == 0


@pytest.mark.parametrize(("header", "good"), [(b"Retry-After: 30\r\n", True), (b"", False)])
def test_a_503_says_when_to_come_back(header: bytes, good: bool) -> None:
    refuses = sends(
        b"HTTP/1.1 503 Service Unavailable\r\n" + header + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    report = load(refuses, asks=(Ask("GET", "/", expect=(503,)),))
    assert (report.failed == 0) is good
    assert report.statuses.get("503", 0) == (report.total if good else 0)


def test_in_a_process_of_its_own_until_the_block_ends() -> None:
    with serving(good) as server:
        with Load(server.url, *ASKS, workers=2, rate=200) as load_:
            deadline = time.monotonic() + 30
            while server.requests <= 20 and time.monotonic() < deadline:
                time.sleep(0.02)
        assert load_.report.total > 20 and load_.report.failed == 0
        assert load_.report.total == server.requests
        assert set(load_.report.methods) == {"GET", "POST"}


def test_the_command_line_tells_by_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--requests", "10", "--rate", "1000", "--workers", "2"]
    with serving(good) as server:
        assert main([server.url, "--get", "/a", "--post", "/b=x=y", *options]) == 0
    assert " 0 failed" in capsys.readouterr().out
    with serving(resets) as server:
        assert main([server.url, *options]) == 1
    assert "ConnectionResetError" in capsys.readouterr().out
