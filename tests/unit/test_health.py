# SPDX-License-Identifier: Apache-2.0
"""Probes, asked of a real server."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker.health import NotHealthy, probe, wait_healthy


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(0.5)
        status = {"/good": 200, "/made": 201}.get(self.path, 503)
        if self.path == "/secure" and self.headers.get("X-Forwarded-Proto") != "https":
            status = 301
        elif self.path in ("/secure", "/named"):
            status = 200 if self.headers["Host"] == "shop.example.com" else 400
        with contextlib.suppress(OSError):  # who asks may have given up
            self.send_response(status)
            if status == 301:
                self.send_header("Location", "https://shop.example.com/secure")
            if self.path == "/chunks":
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(
                b"12\r\nthe database is aw\r\n2\r\nay\r\n0\r\n\r\n"
                if self.path == "/chunks"
                else b"the database is away"
            )
            self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def health(path: str | None = "/good", **more: Any) -> dict[str, Any]:
    return {"path": path, "status": 200, "timeout": 10, "interval": 0.01, "window": 60, "successes": 2, **more}


def test_the_status_that_is_expected_is_healthy(port: int) -> None:
    assert probe("127.0.0.1", port, health()) is None
    assert probe("127.0.0.1", port, health("/made", status=201)) is None


def test_another_status_is_not_and_the_answer_is_quoted(port: int) -> None:
    assert probe("127.0.0.1", port, health("/bad")) == (
        f"127.0.0.1:{port}/bad: status 503 instead of 200, body 'the database is away'"
    )


def test_an_answer_in_chunks_is_quoted_without_their_sizes(port: int) -> None:
    assert str(probe("127.0.0.1", port, health("/chunks"))).endswith(
        "status 503 instead of 200, body 'the database is away'"
    )


def test_an_app_that_checks_its_host_is_asked_by_it(port: int) -> None:
    assert probe("127.0.0.1", port, health("/named", host="shop.example.com")) is None
    fault = str(probe("127.0.0.1", port, health("/named")))
    assert "status 400 instead of 200 (if it refuses host names it does not know, set health.host)" in fault
    assert "set health.host" not in str(probe("127.0.0.1", port, health("/named", host="other.example.com")))


def test_an_app_that_wants_tls_is_told_that_there_is_or_its_redirect_accepted(port: int) -> None:
    fault = str(probe("127.0.0.1", port, health("/secure")))
    assert "status 301 instead of 200 (redirected to https://shop.example.com/secure: set health.headers to" in fault
    assert "\n" not in fault
    told = {"X-Forwarded-Proto": "https"}
    assert probe("127.0.0.1", port, health("/secure", host="shop.example.com", headers=told)) is None
    assert probe("127.0.0.1", port, health("/secure", status="200-399")) is None
    assert probe("127.0.0.1", port, health("/secure", status="200-299,404")) is not None


def test_without_a_path_an_open_port_is_healthy(port: int, closed_port: int) -> None:
    assert probe("127.0.0.1", port, health(None)) is None
    assert "refused" in str(probe("127.0.0.1", closed_port, health(None)))


def test_an_answer_that_comes_too_late_is_none(port: int) -> None:
    assert "timed out" in str(probe("127.0.0.1", port, health("/slow", timeout=0.1)))


def test_a_server_that_does_not_speak_http_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail.example.com ESMTP\r\n")
            connection.close()

        threading.Thread(target=babble, daemon=True).start()
        assert "220 mail.example.com" in str(probe("127.0.0.1", server.getsockname()[1], health()))


def test_several_good_answers_in_a_row_are_needed() -> None:
    answers = iter([None, "no", None, None, "never reached"])
    wait_healthy(lambda: next(answers), health())
    assert next(answers) == "never reached"


def test_the_wait_ends_with_the_last_answer() -> None:
    with pytest.raises(NotHealthy, match=r"^not healthy within 0.05 s; last answer: status 503$"):
        wait_healthy(lambda: "status 503", health(window=0.05))


def test_a_container_that_died_ends_the_wait_at_once() -> None:
    def died() -> None:
        raise RuntimeError("exited with code 1")

    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="exited with code 1"):
        wait_healthy(lambda: "no", health(window=60), died)
    assert time.monotonic() - begin < 30
