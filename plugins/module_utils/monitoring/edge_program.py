# SPDX-License-Identifier: Apache-2.0
"""The exporter of an edge: reads Nginx's access log and answers Prometheus. One thread; see docs/decisions/0023."""

from __future__ import annotations

import argparse
import http.server
import os
import signal
import socket
import socketserver
import sys
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge import access_log
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.edge_log import KINDS, Tally
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.exposition import Sample
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.exposition import text as exposition
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.log_file import LogFile

LOOK_SECONDS = 1.0
SAVE_SECONDS = 5.0
FORGET_SECONDS = 3600.0
# Who does not read its answer must not keep the log from being counted.
CLIENT_SECONDS = 5.0


class Exporter:
    """The log, what was counted of it, and the file that keeps both over a restart.

    The file holds figures and positions of the same moment: after a crash the log is read again from there, before anything is
    answered, so that no figure goes back and none is counted twice.
    """

    def __init__(self, log: str, state: str) -> None:
        self._state = state
        kept = read_json(state, {"positions": None, "lost": 0, "tally": Tally().to_data()})
        self.tally = Tally.from_data(kept["tally"])
        positions = kept["positions"]
        self.log = LogFile(log, positions if positions is None else [(one[0], one[1]) for one in positions])
        self.log.lost += kept["lost"]
        self._saved, self._saved_at, self._forgot_at = kept, 0.0, time.monotonic()

    def look(self) -> None:
        """Count what the log has now, and keep it now and then."""
        for text in self.log.parts():
            self.tally.count(text, time.time())
        # All there was is counted, also when the last request was long ago.
        self.tally.up_to = time.time()
        if time.monotonic() - self._forgot_at > FORGET_SECONDS:
            self.tally.forget(time.time())
            self._forgot_at = time.monotonic()
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Keep figures and positions, when there is anything new."""
        found: dict[str, Any] = {
            "positions": [list(one) for one in self.log.positions()],
            "lost": self.log.lost,
            "tally": self.tally.to_data(),
        }
        if found["positions"] != self._saved["positions"] or self._saved_at == 0.0:
            write_json(self._state, found)
            self._saved = found
        self._saved_at = time.monotonic()

    def page(self) -> bytes:
        """Return all figures, up to now."""
        self.look()
        samples = [*self.tally.samples(time.time()), Sample("sluice_edge_log_lost_total", self.log.lost)]
        return exposition(samples, KINDS).encode()


class _Server(socketserver.TCPServer):
    """Answers one client after the other. Not HTTPServer, which looks its own address up in the DNS."""

    allow_reuse_address = True

    def __init__(self, address: str, port: int, exporter: Exporter) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)
        self.timeout, self.exporter = LOOK_SECONDS, exporter

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to report."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Answer /metrics."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        page = self.server.exporter.page()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_unused: Any) -> None:
        """The journal has no use for a line every 15 s."""


class _Stop(BaseException):
    """Systemd wants it to end. No Exception: in the middle of an answer the server would take it for a client's, and go on."""


def _stop(*_unused: Any) -> None:
    raise _Stop


def main(words: Sequence[str]) -> int:
    """Run until told to end."""
    parser = argparse.ArgumentParser(prog="sluice-edge-exporter", description="Figures of this edge's requests.")
    parser.add_argument("--address", required=True, help="listen there")
    parser.add_argument("--port", type=int, required=True, help="on this port")
    parser.add_argument("--log", default=access_log.LOG, help="Nginx's access log")
    parser.add_argument(
        "--state",
        default=os.path.join(os.environ.get("STATE_DIRECTORY", "/var/lib/sluice-edge-exporter"), "state.json"),
        help="keep figures and positions here",
    )
    asked = parser.parse_args(words)
    exporter = Exporter(asked.log, asked.state)
    exporter.look()
    signal.signal(signal.SIGTERM, _stop)
    try:
        with _Server(asked.address, asked.port, exporter) as server:
            while True:
                server.handle_request()
                exporter.look()
    except (_Stop, KeyboardInterrupt):
        pass
    except OSError as error:
        sys.stderr.write(f"{asked.address}:{asked.port}: {error}\n")
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    exporter.save()
    return 0
