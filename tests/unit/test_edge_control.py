# SPDX-License-Identifier: Apache-2.0
"""What is said through the control socket and the public port, against small servers that answer as Nginx would, or do not."""

from __future__ import annotations

import json
import random
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.edge import verify as edge_verify

Answer = Callable[[BaseHTTPRequestHandler, bytes], tuple[int, dict[str, str], bytes]]


def handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, text = answer(self, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_PUT = do_GET  # noqa: N815

        def address_string(self) -> str:
            return "test"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start a server on a Unix socket (returns its path) or on a port (returns that)."""
    running: list[socketserver.BaseServer] = []

    def start(answer: Answer, unix: bool = False) -> Any:
        where: Any = str(tmp_path / "control.sock") if unix else ("127.0.0.1", 0)
        kind = socketserver.ThreadingUnixStreamServer if unix else ThreadingHTTPServer
        server = kind(where, handler(answer))
        server.handle_error = lambda *_: None  # a client that gives up is part of the tests
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return where if unix else server.server_address[1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


RECORD = {**edge_record.empty("shop"), "token": 3, "seq": 7, "deadline": 1795409430.125}
ROUTE = {"host": "a.example.com", "path": "/", "verify": "/version"}


def test_a_record_is_given_over_and_read_back(serve: Callable[..., Any]) -> None:
    asked: list[tuple[str, str, Any]] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        asked.append((request.command, request.path, json.loads(body)))
        return 200, {}, json.dumps({"record": json.loads(body)}).encode()

    edge_control.hold(RECORD, socket_path=serve(answer, unix=True))
    assert asked == [("PUT", "/split/shop", RECORD)]


def test_another_record_than_was_given_is_noticed(serve: Callable[..., Any]) -> None:
    path = serve(lambda request, body: (200, {}, b'{"record": null}'), unix=True)
    with pytest.raises(edge_control.EdgeRefused, match="has a different record of shop than it was given: None"):
        edge_control.hold(RECORD, socket_path=path)


def test_a_refusal_carries_the_edges_own_words(serve: Callable[..., Any]) -> None:
    path = serve(lambda request, body: (409, {}, b'{"error": "record 4.1 is newer"}'), unix=True)
    with pytest.raises(edge_control.EdgeRefused, match=r"refused PUT /split/shop with 409: record 4\.1 is newer$"):
        edge_control.hold(RECORD, socket_path=path)


@pytest.mark.parametrize("text", [b"<html>", b"[]", b""])
def test_an_answer_that_is_not_the_endpoints_is_refused(serve: Callable[..., Any], text: bytes) -> None:
    path = serve(lambda request, body: (200, {}, text), unix=True)
    with pytest.raises(edge_control.EdgeRefused):
        edge_control.running_config("shop", socket_path=path)


def test_without_nginx_the_message_says_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(edge_control.EdgeDown, match="systemctl status nginx, or run provision"):
        edge_control.call("GET", "/split/shop", socket_path=str(tmp_path / "none.sock"))


def test_an_edge_that_hangs_is_given_up(serve: Callable[..., Any]) -> None:
    done = threading.Event()

    def hang(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        done.wait(5)
        return 200, {}, b"{}"

    path = serve(hang, unix=True)
    with pytest.raises(edge_control.EdgeDown, match="timed out"):
        edge_control.call("GET", "/split/shop", timeout=0.1, socket_path=path)
    done.set()


def test_a_route_is_asked_as_a_visitor_of_the_tried_release(serve: Callable[..., Any]) -> None:
    seen: list[tuple[str, str, str]] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        seen.append((request.path, request.headers["Host"], request.headers["Cookie"]))
        return 404, {"X-Sluice-Release": "r2"}, b""

    edge_verify.verify(edge_verify.Ports(serve(answer)), [ROUTE], "r2", times=3, timeout=2)
    assert seen == [("/version", "a.example.com", f"sluice_visitor={edge_verify.first_client()}")] * 3
    assert edge_verify.bucket(edge_verify.first_client()) == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((502, {}, b"Bad Gateway"), r"a\.example\.com/version: status 502, body 'Bad Gateway' \(try 1 of 3\)"),
        ((200, {"X-Sluice-Release": "r1"}, b""), "answered by release r1 instead of r2, status 200"),
        ((200, {}, b""), "answered by no release of the app instead of r2"),
    ],
)
def test_the_first_bad_answer_ends_the_verification(serve: Callable[..., Any], answer: Any, message: str) -> None:
    port = serve(lambda request, body: answer)
    with pytest.raises(edge_verify.VerifyError, match=message):
        edge_verify.verify(edge_verify.Ports(port), [ROUTE], "r2", times=3, timeout=2)


def test_no_answer_is_a_bad_answer() -> None:
    with pytest.raises(edge_verify.VerifyError, match=r"\*/version: no answer \(.*refused"):
        edge_verify.verify(edge_verify.Ports(1), [{**ROUTE, "host": None}], "r2", times=3, timeout=2)


def test_visitors_fall_evenly_into_the_hundred() -> None:
    chance = random.Random(1)
    counts = Counter(edge_verify.bucket(chance.randbytes(16).hex()) for _ in range(20_000))
    assert len(counts) == 100 and min(counts.values()) > 140 and max(counts.values()) < 260
