# SPDX-License-Identifier: Apache-2.0
"""The app behind the edges: it says what it was asked, and how. On port 80 it is somebody else's server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    """Answers with some headers of the request."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def do_GET(self):
        """Answer, whatever the method."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        names = ("Host", "X-Forwarded-Proto", "X-Forwarded-For")
        body = json.dumps({"version": "v1", **{name: self.headers.get(name) for name in names}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_words):
        """Say nothing."""


ThreadingHTTPServer.request_queue_size = 128
for port in (80, 20000):
    threading.Thread(target=ThreadingHTTPServer(("0.0.0.0", port), App).serve_forever).start()  # noqa: S104
