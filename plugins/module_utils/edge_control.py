# SPDX-License-Identifier: Apache-2.0
"""The edge's control endpoint: HTTP over a Unix socket that only root can reach."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any

SOCKET = "/run/sluice-edge/control.sock"


class EdgeDown(Exception):
    """Nginx does not answer on its control socket; the message says what to look at."""


class EdgeRefused(Exception):
    """Nginx answered, and refused or held something else than it was given."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(method: str, path: str, body: Any = None, *, timeout: float = 5, socket_path: str = SOCKET) -> dict[str, Any]:
    """Ask the control endpoint; returns its JSON answer. ``timeout`` is in seconds. Raises EdgeDown or EdgeRefused."""
    connection = _UnixConnection(socket_path, timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise EdgeDown(
            f"Nginx does not answer on {socket_path} ({str(error) or type(error).__name__}): look at systemctl status nginx, or run provision.yml"
        ) from error
    finally:
        connection.close()
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if response.status != 200 or not isinstance(answer, dict):
        said = answer.get("error") if isinstance(answer, dict) else None
        raise EdgeRefused(f"the edge refused {method} {path} with {response.status}: {said or text.strip()[:300]}")
    return answer


def hold(record: Mapping[str, Any], *, socket_path: str = SOCKET) -> None:
    """Have all workers use a record from now on, and make sure they do. Raises EdgeDown or EdgeRefused.

    The record must be in its file already. Doing this again is harmless, and brings along workers that a run which died
    between the file and this call has left behind.
    """
    answer = call("PUT", f"/split/{record['app']}", record, socket_path=socket_path)
    if answer.get("record") != record:
        raise EdgeRefused(f"Nginx holds another record of {record['app']} than it was given: {answer.get('record')}")


def running_config(app: str, *, socket_path: str = SOCKET) -> str:
    """The fingerprint of the app's configuration as a worker runs it; empty when it runs none. Raises EdgeDown or EdgeRefused."""
    return str(call("GET", f"/config/{app}", socket_path=socket_path)["fingerprint"])
