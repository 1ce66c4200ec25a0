# SPDX-License-Identifier: Apache-2.0
"""The edge's control endpoint: HTTP over a Unix socket that only root can reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import plain_http

SOCKET = "/run/sluice-edge/control.sock"


class EdgeDown(Exception):
    """Nginx does not answer on its control socket; the message says what to look at."""


class EdgeRefused(Exception):
    """Nginx answered, and refused or held something else than it was given."""


def call(method: str, path: str, body: Any = None, *, timeout: float = 5, socket_path: str = SOCKET) -> dict[str, Any]:
    """Ask the control endpoint; returns its JSON answer. ``timeout`` is in seconds. Raises EdgeDown or EdgeRefused."""
    try:
        answer = plain_http.request(socket_path, method, path, body, timeout=timeout)
    except plain_http.NoAnswer as error:
        raise EdgeDown(
            f"Nginx does not answer on {socket_path} ({error}): look at systemctl status nginx, or run provision.yml"
        ) from error
    data = answer.data()
    if answer.status != 200 or not isinstance(data, dict):
        said = data.get("error") if isinstance(data, dict) else None
        raise EdgeRefused(f"the edge refused {method} {path} with {answer.status}: {said or answer.beginning()}")
    return data


def hold(record: Mapping[str, Any], *, socket_path: str = SOCKET) -> None:
    """Have all workers use a record from now on, and make sure they do. Raises EdgeDown or EdgeRefused.

    The record must be in its file already. Doing this again is harmless, and brings along workers that a run which died
    between the file and this call has left behind.
    """
    answer = call("PUT", f"/split/{record['app']}", record, socket_path=socket_path)
    if answer.get("record") != record:
        raise EdgeRefused(f"Nginx holds another record of {record['app']} than it was given: {answer.get('record')}")


def forget(app: str, *, socket_path: str = SOCKET) -> None:
    """Have all workers forget an app whose record's file is gone. Raises EdgeDown or EdgeRefused."""
    call("DELETE", f"/split/{app}", socket_path=socket_path)


def running_config(app: str, *, socket_path: str = SOCKET) -> str:
    """The fingerprint of the app's configuration as a worker runs it; empty when it runs none. Raises EdgeDown or EdgeRefused."""
    return str(call("GET", f"/config/{app}", socket_path=socket_path)["fingerprint"])
