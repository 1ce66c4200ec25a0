# SPDX-License-Identifier: Apache-2.0
"""A server that answers like Unleash as far as a test needs it, on a port of this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class FakeUnleash:
    """Answers what is in ``answers``, by method and path, to those who have the token, and keeps what it was sent."""

    def __init__(self) -> None:
        self.token = "*:*.secret"
        self.features: list[dict[str, Any]] = [{"name": "payment", "enabled": True, "strategies": []}]
        self.answers: dict[str, tuple[int, Any]] = {
            "GET /api/client/features": (200, {"version": 2, "features": self.features, "meta": {}})
        }
        self.asked: list[tuple[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                what = f"{self.command} {self.path}"
                outer.asked.append((what, json.loads(body) if body else None))
                known = outer.answers.get(what, (404, {"message": "no such thing"}))
                status, answer = (
                    known if self.headers.get("Authorization") == outer.token else (401, {"message": "who are you"})
                )
                self.send_response(status)
                if status in range(300, 400):
                    self.send_header("Location", str(answer))
                text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that http.server asks for

            def log_message(self, *_unused: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
