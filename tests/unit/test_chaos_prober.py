# SPDX-License-Identifier: Apache-2.0
"""The prober: every request is counted once, whatever becomes of it, at a rate that does not depend on the answers."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.chaos import prober
from ansible_collections.sluice.stack.plugins.plugin_utils.chaos_watch import Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers every connection by its path, and counts what it was asked."""

    ANSWERS: ClassVar = {
        b"/good": OK,
        b"/half": OK[:-1],
        b"/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"/cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"/nothing": b"",
        b"/error": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"/junk": b"hello\r\n\r\n",
    }

    def __init__(self) -> None:
        self.asked: Counter[bytes] = Counter()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _unused = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            path = connection.recv(4096).split(b" ")[1]
            self.asked[path] += 1
            if path == b"/never":
                time.sleep(30)
            connection.sendall(self.ANSWERS.get(path, b""))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def probe(server: Server, path: str, **more: object) -> dict[str, object]:
    return {"address": "127.0.0.1", "port": server.port, "tls": False, "host": "", "path": path, **more}


def test_each_request_is_counted_once_with_what_became_of_it(server: Server) -> None:
    paths = ["/good", "/half", "/chunks", "/cut", "/nothing", "/error", "/junk", "/never"]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
    probes = [*(probe(server, path) for path in paths), {**probe(server, "/"), "port": refused}]
    with Watch(probes, 200, 1.0) as watch:
        while len(server.asked) < len(paths):
            time.sleep(0.02)
        found = watch.stop()
    seen = {number: (one.status, one.error) for one in found for number in [one.probe]}
    assert seen == {
        0: (200, ""),
        1: (0, "half an answer"),
        2: (200, ""),
        3: (0, "half an answer"),
        4: (0, "no answer"),
        5: (502, ""),
        6: (0, "no HTTP answer"),
        7: (0, "no answer within 1 s"),
        8: (0, "connection refused"),
    }
    # Never twice: a line for each request that the server got, and no other.
    asked = Counter({f"/{path.decode()[1:]}": count for path, count in server.asked.items()})
    assert asked == Counter(paths[one.probe] for one in found if one.probe < len(paths))


def test_an_app_that_hangs_is_asked_on(server: Server) -> None:
    with Watch([probe(server, "/never")], 100, 20.0) as watch:
        while server.asked[b"/never"] < 30:
            time.sleep(0.02)
        assert watch.samples() == [], "none has ended, and the next ones were sent"
        watch._process.kill()


def test_it_ends_with_its_input(server: Server) -> None:
    with Watch([probe(server, "/good")], 50, 1.0) as watch:
        while not watch.samples():
            time.sleep(0.02)
        watch.stop()
        assert watch._process.poll() == 0


def test_a_post_has_its_body_and_a_host_its_name() -> None:
    found = prober.request({"address": "fd00::1", "host": "", "path": "/a", "method": "POST", "body": '{"a": 1}'})
    assert found.startswith(b"POST /a HTTP/1.1\r\nHost: [fd00::1]\r\n") and found.endswith(
        b'Content-Length: 8\r\n\r\n{"a": 1}'
    )
    found = prober.request({"address": "192.0.2.1", "host": "a.example.com", "path": "/"})
    assert found.startswith(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n") and found.endswith(b"close\r\n\r\n")
