# SPDX-License-Identifier: Apache-2.0
"""A server with a known capacity: so many requests at once, each of which takes so long."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Knee:
    """Serves while the block lasts. ``broken`` answers 503, ``asked`` holds each request's method, path, headers and body."""

    def __init__(self, at_once: int = 4, seconds: float = 0.04) -> None:
        self.broken = False
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        room, outer = threading.BoundedSemaphore(at_once), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                if len(outer.asked) < 100:
                    outer.asked.append((self.command, self.path, dict(self.headers), body))
                with room:
                    time.sleep(seconds)
                self.send_response(503 if outer.broken else 200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_POST = do_GET  # noqa: N815 - the names are the standard library's

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 1024
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """A client that is stopped leaves in the middle of an answer."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def measured(self, clients: int = 16, seconds: float = 5) -> float:
        """Requests a second that it answers at most, measured directly: clients that ask again as soon as they have their answer."""
        end = time.monotonic() + seconds

        def ask(_unused: int) -> int:
            connection, answers = HTTPConnection("127.0.0.1", self._server.server_port), 0
            while time.monotonic() < end:
                connection.request("GET", "/")
                connection.getresponse().read()
                answers += 1
            return answers

        with ThreadPoolExecutor(clients) as pool:
            return sum(pool.map(ask, range(clients))) / seconds
