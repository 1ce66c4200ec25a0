# SPDX-License-Identifier: Apache-2.0
"""Requests as all sorts of clients make them: large ones, streams, old protocols."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, IncompleteRead
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import verify as edge_verify

from tests.support.edge import CLIENT, MB, VISITOR, Edge, slot_of
from tests.support.edge_app import GO

HOST = "Host: shop.example.com\r\n"


class Client:
    """A connection on which a test writes what it likes."""

    def __init__(self, edge: Edge) -> None:
        self.socket = socket.create_connection(("127.0.0.1", edge.port), 10)

    def send(self, head: str, body: bytes = b"") -> None:
        """A request: its first line and headers, without their end."""
        self.socket.sendall(f"{head}{CLIENT}: {VISITOR}\r\n\r\n".encode() + body)

    def answer(self, method: str = "GET") -> HTTPResponse:
        """The head of the answer."""
        found = HTTPResponse(self.socket, method=method)
        found.begin()
        return found


@contextmanager
def client(edge: Edge) -> Iterator[Client]:
    found = Client(edge)
    try:
        yield found
    finally:
        found.socket.close()


def seen(answer: HTTPResponse) -> dict[str, Any]:
    """What the app says that it was sent."""
    body = answer.read()
    assert answer.status == 200, body
    return dict(json.loads(body))


# large requests


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/", 20, 200),
        ("/", 21, 413),
        ("/upload", 30, 200),
        ("/upload/x", 21, 200),
        ("/upload", 31, 413),
        ("/any", 64, 200),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_the_limit_of_its_route(edge: Edge, path: str, size: int, status: int, chunked: bool) -> None:
    connection = edge.connect()
    try:
        if chunked:
            connection.request("POST", path, iter([b"x" * MB] * size), {CLIENT: VISITOR}, encode_chunked=True)
        else:
            # With a Content-Length, the edge need not read it.
            connection.putrequest("POST", path)
            connection.putheader(CLIENT, VISITOR)
            connection.putheader("Content-Length", str(size * MB))
            connection.endheaders()
            if status == 200:
                connection.send(b"x" * size * MB)
    except OSError:
        assert status == 413  # it was answered before it was sent
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == status, body
    assert status == 413 or json.loads(body)["size"] == size * MB
    connection.close()


def test_headers_of_12_kb_reach_the_app(edge: Edge) -> None:
    token = "x" * 12 * 1024
    sent = json.loads(edge.ask({"Authorization": f"Bearer {token}", "Cookie": f"session={token}"})[2])["headers"]
    assert sent["Authorization"] == f"Bearer {token}" and sent["Cookie"] == f"session={token}"
    with client(edge) as one:
        one.send(f"GET /?q={token} HTTP/1.1\r\n{HOST}")
        seen(one.answer())
    # The control, and the bound: an app would not take that either.
    assert edge.ask({"Cookie": "x" * 40 * 1024})[0] == 400


# verification


def test_a_release_is_verified_by_the_host_its_app_knows_and_a_redirect_is_an_answer(edge: Edge) -> None:
    def verify(path: str, release: str = "r1", **route: str) -> None:
        edge_verify.verify(
            edge_verify.Ports(edge.port), [{"host": None, "verify": path, **route}], release, times=2, timeout=5
        )

    verify("/?status=301")
    verify("/?host=shop.example.com", verify_host="shop.example.com")
    with pytest.raises(edge_verify.VerifyError, match=r"status 500, body 'no such host'"):
        verify("/?host=shop.example.com")
    with pytest.raises(edge_verify.VerifyError, match=r"answered by release r1 instead of r2, status 301"):
        verify("/?status=301", release="r2")


# streams


def events(edge: Edge, path: str, kind: str) -> Iterator[bytes]:
    """The lines of an endless answer; the second is sent when the first has arrived."""
    GO.clear()
    try:
        with client(edge) as one:
            one.send(f"GET {path} HTTP/1.1\r\n{HOST}X-Stream: {kind}\r\n")
            one.socket.settimeout(2)
            answer = one.answer()
            yield answer.readline()
            GO.set()
            yield answer.readline()
    finally:
        GO.set()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/stream", "chunked"), ("/stream/x", "until the end"), ("/", "chunked"), ("/", "until the end, unbuffered")],
)
def test_events_arrive_one_by_one(edge: Edge, path: str, kind: str) -> None:
    assert list(events(edge, path, kind)) == [b"begin\n", b"end\n"]


@pytest.mark.parametrize(("pause", "whole"), [(0.4, True), (3, False)])
def test_a_stream_is_cut_off_when_it_falls_silent_and_not_for_its_length(edge: Edge, pause: float, whole: bool) -> None:
    """The route may be silent for a second."""
    with client(edge) as one:
        one.send(f"GET /brief HTTP/1.1\r\n{HOST}X-Stream: chunked\r\nX-Pause: {pause}\r\n")
        try:
            body = one.answer().read()
        except IncompleteRead as error:
            body = error.partial
    assert body == (b"begin\non\non\non\non\nend\n" if whole else b"begin\n")


def test_an_answer_without_chunks_or_a_length_is_kept_back_by_default(edge: Edge) -> None:
    """The control: the test does see what is not passed on at once."""
    with pytest.raises(TimeoutError):
        list(events(edge, "/", "until the end"))


def echo(edge: Edge, path: str) -> list[bytes]:
    """The lines of an answer that follows its request; each is sent when the answer to the one before has arrived."""
    with client(edge) as one:
        one.send(f"POST {path} HTTP/1.1\r\n{HOST}X-Stream: chunked\r\nTransfer-Encoding: chunked\r\n")
        one.socket.settimeout(2)
        answer, lines = one.answer("POST"), []
        for line in (b"one\n", b"two\n", b""):
            lines.append(answer.readline())
            one.socket.sendall(b"%x\r\n%s\r\n" % (len(line), line))
        return [*lines, answer.read()]


def test_a_route_without_buffering_passes_a_request_on_while_it_is_sent(edge: Edge) -> None:
    assert echo(edge, "/stream") == [b"begin\n", b"one\n", b"two\n", b""]


def test_with_buffering_an_app_sees_a_request_when_it_has_ended(edge: Edge) -> None:
    """The control, and the default: a slow client does not hold an app."""
    with pytest.raises(TimeoutError):
        echo(edge, "/")


def test_an_unbuffered_route_keeps_its_limit_and_answers_in_maintenance(edge: Edge) -> None:
    with client(edge) as one:
        one.send(f"POST /stream HTTP/1.1\r\n{HOST}Content-Length: {21 * MB}\r\n")
        assert one.answer("POST").status == 413
    edge.maintain()
    connection = edge.connect()
    for _ in range(2):
        connection.request("POST", "/stream", iter([b"x" * MB] * 2), {CLIENT: VISITOR}, encode_chunked=True)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (503, b"Back soon.\n")
    connection.close()


# protocols


def test_head_and_options_are_the_apps_to_answer(edge: Edge) -> None:
    with client(edge) as one:
        one.send(f"HEAD / HTTP/1.1\r\n{HOST}")
        answer = one.answer("HEAD")
        assert (answer.status, answer.read()) == (200, b"") and int(answer.headers["Content-Length"]) > 0
        one.send(f"OPTIONS / HTTP/1.1\r\n{HOST}Origin: https://other.example.com\r\n")
        assert seen(one.answer("OPTIONS"))["method"] == "OPTIONS"


def test_what_the_app_says_of_its_flags_is_for_the_log_alone(edge: Edge) -> None:
    with client(edge) as one:
        one.send(
            f"GET /flags?header=Feature-Flags:payment=on,%20button=book HTTP/1.1\r\n{HOST}Feature-Flags: payment=off\r\n"
        )
        answer = one.answer()
        assert answer.status == 200 and answer.headers["Feature-Flags"] is None
        one.send(f"GET /flags?none HTTP/1.1\r\n{HOST}Feature-Flags: payment=off\r\n")
        assert one.answer().status == 200
    lines = edge.log(lambda entry: entry["uri"].startswith("/flags"), count=2)
    assert [line["flags"] for line in lines] == ["payment=on, button=book", ""]


@pytest.mark.parametrize("path", ["/", "/stream"])
def test_a_chunked_request_reaches_the_app_whole(edge: Edge, path: str) -> None:
    with client(edge) as one:
        for _ in range(2):
            one.send(
                f"PUT {path} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
            )
            assert seen(one.answer("PUT"))["size"] == 6


@pytest.mark.parametrize(("head", "host"), [(HOST, "shop.example.com"), ("", "_")])
def test_an_old_client_is_served_and_its_app_has_a_host(edge: Edge, head: str, host: str) -> None:
    """HTTP/1.0 has neither a host nor chunks; the app is asked in 1.1, which refuses a request without the first."""
    with client(edge) as one:
        one.send(f"GET / HTTP/1.0\r\n{head}")
        answer = one.answer()
        headers = seen(answer)["headers"]
        assert headers["Host"] == headers["X-Forwarded-Host"] == host
        assert answer.headers["Connection"] == "close"
    GO.set()
    with client(edge) as one:
        one.send(f"GET / HTTP/1.0\r\n{head}X-Stream: chunked\r\n")
        answer = one.answer()
        assert "Transfer-Encoding" not in answer.headers and answer.read() == b"begin\nend\n"


@pytest.mark.parametrize("path", ["/", "/stream"])
def test_a_client_that_asks_first_is_told_to_go_on_or_not(edge: Edge, path: str) -> None:
    def ask(size: int) -> str:
        return f"POST {path} HTTP/1.1\r\n{HOST}Content-Length: {size}\r\nExpect: 100-continue\r\n"

    with client(edge) as one:
        one.send(ask(5))
        # Nobody may be asked before the body is there; the edge says to go on.
        assert one.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.socket.sendall(b"hello")
        found = seen(one.answer("POST"))
        assert found["size"] == 5 and "Expect" not in found["headers"]
        one.send(ask(21 * MB))
        assert one.answer("POST").status == 413, "without having sent it"
    assert slot_of(edge.ask()) == "blue"
