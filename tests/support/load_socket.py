# SPDX-License-Identifier: Apache-2.0
"""One WebSocket that takes no end but an announced one (RFC 6455). What it hears has to be whole frames, in one piece."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import select
import time
from typing import Any

from tests.support.load_connection import Broken, Site, Stream

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
NORMAL, GOING_AWAY = 1000, 1001
# What both sides put behind the key to prove that they speak this protocol: RFC 6455, 1.3.
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Closed(Exception):
    """The server has said goodbye, with ``code``, and has then ended the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed by the server with {code}")
        self.code = code


class WebSocket(Stream):
    """One WebSocket. Every method raises Closed, Broken or OSError (TimeoutError too) for an end, each in its way."""

    def __init__(self, site: Site, path: str, timeout: float) -> None:
        super().__init__(site, timeout)
        self._leaving = False
        self.notices = 0
        try:
            self._shake_hands(path)
        except BaseException:
            self.close()
            raise

    def greeting(self) -> dict[str, Any]:
        """The first thing the server says, a JSON object."""
        frame = self._receive(self._timeout)
        if frame is None or frame[0] != TEXT:
            raise Broken(f"no greeting within {self._timeout:g} s, but {frame}")
        return dict(json.loads(frame[1]))

    def listen(self, seconds: float) -> None:
        """Hear what comes in some seconds, and answer it."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and (frame := self._receive(left)):
            self._heard(*frame)

    def ping(self) -> None:
        """Ask whether the server is there, and hear what comes before its answer."""
        word = os.urandom(8)
        self._send(PING, word)
        deadline = time.monotonic() + self._timeout
        while frame := self._receive(max(0.0, deadline - time.monotonic())):
            if frame == (PONG, word):
                return
            self._heard(*frame)
        raise Broken(f"no pong within {self._timeout:g} s")

    def leave(self) -> None:
        """Say goodbye, and hear the server's."""
        self._send(CLOSE, NORMAL.to_bytes(2, "big"))
        self._leaving = True
        try:
            self.listen(self._timeout)
        except Closed:
            return
        raise Broken(f"no close frame within {self._timeout:g} s")

    def _shake_hands(self, path: str) -> None:
        key = base64.b64encode(os.urandom(16))
        head = [f"GET {path} HTTP/1.1", f"Host: {self._host}", "User-Agent: strict-load", "Connection: Upgrade"]
        head += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key.decode()}"]
        self._socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        response = self._response()
        if response.status != 101:
            raise Broken(f"status {response.status} and no WebSocket, body {response.body[:120]!r}")
        proof = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode()
        if response.headers.get("sec-websocket-accept") != proof:
            raise Broken(f"somebody else's handshake: {response.headers}")

    def _heard(self, kind: int, data: bytes) -> None:
        if kind == TEXT:
            self.notices += 1
        elif kind == PING:
            self._send(PONG, data)
        elif kind == CLOSE:
            if not self._leaving:  # one each: the server may be gone after the second
                self._send(CLOSE, data[:2])
            self._to_the_end()
            raise Closed(int.from_bytes(data[:2], "big"))
        else:
            raise Broken(f"a frame nobody asked for: kind {kind}, {data[:80]!r}")

    def _to_the_end(self) -> None:
        """The server ends the connection after both have said goodbye (RFC 6455, 7.1.1)."""
        if data := self._socket.recv(100):
            raise Broken(f"the server went on after its close frame: {data!r}")

    def _receive(self, seconds: float) -> tuple[int, bytes] | None:
        """The next frame, its kind and what it holds; None when no whole one came in time."""
        deadline = time.monotonic() + seconds
        while (frame := self._frame()) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return None
            self._more()
        return frame

    def _frame(self) -> tuple[int, bytes] | None:
        """Take a frame from what is held, if there is a whole one."""
        held = self._held
        if len(held) < 2:
            return None
        if held[0] & 0xF0 != 0x80 or held[1] > 126:
            raise Broken(f"a frame in parts, masked or of 64 KiB: {held[:2].hex()}")
        long = held[1] == 126
        begin = 4 if long else 2
        end = begin + (int.from_bytes(held[2:4], "big") if long else held[1])
        if len(held) < end:
            return None
        self._held = held[end:]
        return held[0] & 0x0F, held[begin:end]

    def _send(self, kind: int, data: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self._socket.sendall(bytes([0x80 | kind, 0x80 | len(data)]) + mask + masked)
