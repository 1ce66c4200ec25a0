# SPDX-License-Identifier: Apache-2.0
"""The app behind an edge under test: it says which slot it is and what it was sent."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# Lets a stream go on.
GO = threading.Event()


class App(BaseHTTPRequestHandler):
    """Answers with what it was sent; streams for ``X-Stream``, and speaks in lines for ``Upgrade``."""

    slot = ""
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # an answer in two writes waits for the edge's delayed acknowledgement

    def do_GET(self) -> None:
        if self.headers.get("Upgrade"):
            self._converse()
            return
        if self.headers.get("X-Stream"):
            self._stream()
            return
        query = dict(parse_qsl(urlsplit(self.path).query))
        if query.get("host", self.headers["Host"]) != self.headers["Host"]:
            self._say(500, b"no such host")
            return
        time.sleep(float(self.headers.get("X-Wait") or 0))
        size = sum(map(len, self._body()))
        body = json.dumps(
            {"slot": self.slot, "size": size, "method": self.command, "headers": dict(self.headers)}
        ).encode()
        self._say(int(query.get("status", 200)), body, query.get("header", ""))

    do_POST = do_PUT = do_HEAD = do_OPTIONS = do_DELETE = do_GET  # noqa: N815

    def _say(self, status: int, body: bytes, header: str = "") -> None:
        self.send_response(status)
        if header:
            self.send_header(*header.split(":", 1))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> Iterator[bytes]:
        """The request's body in the pieces it comes in."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length") or 0)
            while left and (piece := self.rfile.read1(min(left, 65536))):
                left -= len(piece)
                yield piece

    def _stream(self) -> None:
        """An answer that goes on: an event at once, then what is sent, piece by piece, or one more when the test lets it."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        chunked = "chunked" in self.headers["X-Stream"]
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if "unbuffered" in self.headers["X-Stream"]:
            self.send_header("X-Accel-Buffering", "no")
        self.end_headers()
        for piece in itertools.chain([b"begin\n"], self._body() if self.command == "POST" else self._event(), [b""]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()

    def _event(self) -> Iterator[bytes]:
        if self.headers.get("X-Pause"):
            for _ in range(4):
                time.sleep(float(self.headers["X-Pause"]))
                yield b"on\n"
        else:
            GO.wait(20)
        yield b"end\n"

    def _converse(self) -> None:
        """Another protocol from here on: each line comes back with the slot before it."""
        self.close_connection = True
        self.send_response(101)
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("Connection", self.headers["Connection"])
        self.end_headers()
        self.wfile.flush()
        while line := self.rfile.readline():
            self.wfile.write(f"{self.slot}: ".encode() + line)
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def app(slot: str) -> type[App]:
    """The app in a slot."""
    return type("InSlot", (App,), {"slot": slot})
