# SPDX-License-Identifier: Apache-2.0
"""Receivers of notices on this machine, which keep what they are sent: a webhook's, and a mail server."""

from __future__ import annotations

import email
import email.header
import http.server
import json
import socketserver
import threading
from types import TracebackType
from typing import Any, Self


class Receiver:
    """An HTTP server at a secret ``path``; the first requests get ``statuses``, all others 204, or 200 with an ``answer`` as Slack's."""

    def __init__(
        self, *statuses: int, path: str = "", port: int = 0, host: str = "127.0.0.1", answer: str = ""
    ) -> None:
        receiver = self
        self.got: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.statuses = list(statuses)
        self.arrived = threading.Condition()
        self.asked: list[int] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 200 if answer else 204
                receiver.asked.append(status)
                # Before the answer: the next one may come as soon as that is there.
                if status in (200, 204):
                    with receiver.arrived:
                        receiver.got.append((self.path, json.loads(body), dict(self.headers)))
                        receiver.arrived.notify_all()
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "2")
                if status == 200:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if status == 200:
                    self.wfile.write(answer.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer((host, port), Handler)
        self.address = f"http://{host}:{self.server.server_address[1]}/{path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count: int, seconds: float = 30) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
        """What arrived, once it is so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, seconds), self.got
            return self.got


class _Smtp(socketserver.StreamRequestHandler):
    """Takes every mail (RFC 5321), as far as a test needs it."""

    def handle(self) -> None:
        mails: list[str] = self.server.mails  # type: ignore[attr-defined]
        self.wfile.write(b"220 mail.test\r\n")
        while line := self.rfile.readline().strip().upper():
            if line.startswith(b"EHLO"):
                self.wfile.write(b"250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n")
                continue
            if line.startswith(b"AUTH"):
                self.wfile.write(b"235 welcome\r\n")
                continue
            if line.startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                mails.append("".join(text.decode() for text in iter(self.rfile.readline, b".\r\n")))
            self.wfile.write(b"221 bye\r\n" if line == b"QUIT" else b"250 ok\r\n")


class Mails:
    """An SMTP server, while the block lasts."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer((host, port), _Smtp)
        self._server.daemon_threads = True
        self._server.mails = []  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def mails(self) -> list[email.message.Message]:
        """What arrived."""
        return [email.message_from_string(text) for text in self._server.mails]  # type: ignore[attr-defined]

    def url(self, to: str, login: str = "") -> str:
        """Apprise's URL of this server."""
        return mail_url(self._server.server_address[1], to, login)

    def subjects(self) -> list[str]:
        """The subjects of all mails."""
        return [str(email.header.make_header(email.header.decode_header(mail["Subject"]))) for mail in self.mails]

    def texts(self) -> list[str]:
        """The plain text of all mails."""
        found = []
        for mail in self.mails:
            part = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found.append("\n".join(content.decode().splitlines()).strip())
        return found


def mail_url(port: int, to: str, login: str = "") -> str:
    """Apprise's URL of an SMTP server on this machine, with a login ``user:password``."""
    at = f"{login}@" if login else ""
    return f"mailto://{at}127.0.0.1:{port}?from=sluice@shop.test&to={to}&secure=no&name=Sluice"
