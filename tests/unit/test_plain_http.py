# SPDX-License-Identifier: Apache-2.0
"""One request over HTTP, against servers that answer byte by byte as a test wants: chunks, slowness, and what is no HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.plain_http import NoAnswer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Name: a\r\n\r\n"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Send bytes, piece by piece with a pause in between, to each client that has sent its request; returns the socket's path."""
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def start(*pieces: bytes, pause: float = 0.0, asked: list[bytes] | None = None) -> str:
        def run() -> None:
            with suppress(OSError):
                client, _ = listener.accept()
                with client:
                    text = client.recv(65536)
                    # A body may come in a packet of its own.
                    while b"Content-Length" in text and text.endswith(b"\r\n\r\n"):
                        text += client.recv(65536)
                    if asked is not None:
                        asked.append(text)
                    for piece in pieces:
                        client.sendall(piece)
                        time.sleep(pause)

        threading.Thread(target=run, daemon=True).start()
        return path

    yield start
    listener.close()


def get(path: str, timeout: float = 10, limit: int | None = None) -> plain_http.Answer:
    return plain_http.request(path, "GET", "/x", timeout=timeout, limit=limit)


def test_chunks_are_put_together_and_their_sizes_are_in_no_message(serve: Callable[..., str]) -> None:
    answer = get(serve(CHUNKED, b'7\r\n{"messa\r\n', b'9\r\nge": "x"}\r\n0\r\n\r\n'))
    assert (answer.status, answer.data(), answer.beginning()) == (200, {"message": "x"}, '{"message": "x"}')
    assert answer.headers["x-name"] == "a"


def test_a_stream_comes_in_the_pieces_it_is_sent_in(serve: Callable[..., str]) -> None:
    status, _, pieces = plain_http.stream(
        serve(CHUNKED, b"4\r\none\n\r\n", b"4\r\ntwo\n\r\n0\r\n\r\n", pause=0.05), "GET", "/x", timeout=10
    )
    assert status == 200
    assert [bytes(piece) for piece in pieces] == [b"one\n", b"two\n"]


def test_a_body_is_sent_with_its_length(serve: Callable[..., str]) -> None:
    asked: list[bytes] = []
    path = serve(b"HTTP/1.1 204 No Content\r\n\r\n", asked=asked)
    assert plain_http.request(path, "POST", "/x?a=b", {"k": 1}, timeout=10, headers={"Host": "h"}).body == b""
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?a=b HTTP/1.1\r\n")
    assert {b"Host: h", b"Connection: close", b"Content-Type: application/json", b"Content-Length: 8"} <= set(
        head.split(b"\r\n")
    )
    assert body == b'{"k": 1}'


def test_no_more_is_read_than_is_wanted(serve: Callable[..., str]) -> None:
    answer = get(serve(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 5000, b"b" * 100000), limit=4096)
    assert 4096 <= len(answer.body) < 100000


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 200],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"a"] * 200],
        [CHUNKED, *[b"1\r\na\r\n"] * 200],
    ],
)
def test_who_sends_a_little_now_and_then_is_not_waited_for(serve: Callable[..., str], pieces: list[bytes]) -> None:
    with pytest.raises(NoAnswer, match="timed out"):
        get(serve(*pieces, pause=0.03), timeout=0.2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "closed connection without response"),
        (b"220 mail.example.com ESMTP\r\n", "not an HTTP response: '220 mail.example.com ESMTP'"),
        (CHUNKED + b"zz\r\nabc", "IncompleteRead"),
        (CHUNKED + b"40\r\nabc", "IncompleteRead"),
    ],
)
def test_what_is_no_answer_is_said(serve: Callable[..., str], text: bytes, words: str) -> None:
    with pytest.raises(NoAnswer, match=words) as error:
        get(serve(text))
    assert "\n" not in str(error.value)


def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="No such file"):
        get(str(tmp_path / "none"))
