# SPDX-License-Identifier: Apache-2.0
"""The example's smoke test: the version it wants, every page, and an answer that comes late."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from tests.support.example import load

smoke = load("smoke")
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[tuple[int, str]]]]:
    """Answers of a site by path, the last one again and again; the smoke test asks it for v1.2.3."""
    answers = {
        "/api/version": [(200, json.dumps({"version": "v1.2.3"}))],
        "/": [(200, "page")],
        "/api/accountants": [(200, "[]")],
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            left = answers.get(self.path, [(404, "")])
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_unused: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("APP_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("GITHUB_REF", "refs/tags/v1.2.3")
        monkeypatch.setenv("GITHUB_SHA", SHA)
        monkeypatch.delenv("SMOKE_PATHS", raising=False)
        monkeypatch.setattr(smoke, "SECONDS", 0.0)
        monkeypatch.setattr(smoke.time, "sleep", lambda _seconds: None)
        yield answers
        server.shutdown()


def test_a_good_release(site: dict[str, list[tuple[int, str]]], capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main() == 0
    assert capsys.readouterr().out.count(": ok\n") == 3


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/api/version", (200, json.dumps({"version": "v1.2.2"})), "v1.2.2 is live, not v1.2.3"),
        ("/api/version", (200, "a page"), "no version in the answer"),
        ("/api/version", (503, ""), "503"),
        ("/", (404, ""), "404"),
        ("/api/accountants", (500, ""), "500"),
    ],
)
def test_a_bad_one(
    path: str,
    answer: tuple[int, str],
    words: str,
    site: dict[str, list[tuple[int, str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    site[path] = [answer]
    assert smoke.main() == 1
    assert words in capsys.readouterr().out


def test_an_answer_may_come_late(site: dict[str, list[tuple[int, str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "SECONDS", 60.0)
    site["/"] = [(502, ""), (200, "page")]
    assert smoke.main() == 0


def test_other_paths_and_no_site(site: dict[str, list[tuple[int, str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOKE_PATHS", "/ /missing")
    assert smoke.main() == 1
    monkeypatch.setenv("APP_URL", "http://127.0.0.1:9")
    assert smoke.main() == 1
    monkeypatch.setenv("APP_URL", "file:///etc/passwd")
    assert smoke.main() == 64
