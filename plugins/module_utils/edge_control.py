# SPDX-License-Identifier: Apache-2.0
"""The edge's control endpoint: HTTP over a Unix socket that only root can reach."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

SOCKET = "/run/sluice-edge/control.sock"


class EdgeDown(Exception):
    """Nginx does not answer on its control socket; the message says what to look at."""


class EdgeRefused(Exception):
    """Nginx answered, and refused."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(method: str, path: str, body: Any = None, *, timeout: float = 5, socket_path: str = SOCKET) -> Any:
    """Ask the control endpoint; returns its JSON answer. Raises EdgeDown or EdgeRefused."""
    connection = _UnixConnection(socket_path, timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise EdgeDown(
            f"Nginx does not answer on {socket_path} ({error or type(error).__name__}): systemctl status nginx, or run provision.yml"
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise EdgeRefused(f"the edge refused {method} {path} with {response.status}: {text.strip()[:300]}")
    return json.loads(text)
