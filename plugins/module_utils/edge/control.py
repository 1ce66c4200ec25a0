# SPDX-License-Identifier: Apache-2.0
"""The edge's control endpoint: HTTP over a Unix socket that only root can access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import plain_http

SOCKET = "/run/sluice-edge/control.sock"


class EdgeDown(Exception):
    """Nginx does not answer on its control socket; the message says what to check."""


class EdgeRefused(Exception):
    """Nginx refused the request, or holds another record than it was given."""


def call(method: str, path: str, body: Any = None, *, timeout: float = 5, socket_path: str = SOCKET) -> dict[str, Any]:
    """Call the control endpoint; returns its JSON response. ``timeout`` is in seconds. Raises EdgeDown or EdgeRefused."""
    try:
        answer = plain_http.request(socket_path, method, path, body, timeout=timeout)
    except plain_http.NoAnswer as error:
        raise EdgeDown(
            f"Nginx does not answer on {socket_path} ({error}): check systemctl status nginx, or run provision.yml"
        ) from error
    data = answer.data()
    if answer.status != 200 or not isinstance(data, dict):
        reason = data.get("error") if isinstance(data, dict) else None
        raise EdgeRefused(f"the edge refused {method} {path} with {answer.status}: {reason or answer.beginning()}")
    return data


def hold(record: Mapping[str, Any], *, socket_path: str = SOCKET) -> None:
    """Make all Nginx workers use a record, and verify that they do. Raises EdgeDown or EdgeRefused.

    The record must already be in its file. The call is idempotent, and updates workers that a run left behind when it died
    between writing the file and this call.
    """
    answer = call("PUT", f"/split/{record['app']}", record, socket_path=socket_path)
    if answer.get("record") != record:
        raise EdgeRefused(f"Nginx has a different record of {record['app']} than it was given: {answer.get('record')}")


def forget(app: str, *, socket_path: str = SOCKET) -> None:
    """Have all workers forget an app whose record's file is gone. Raises EdgeDown or EdgeRefused."""
    call("DELETE", f"/split/{app}", socket_path=socket_path)


def running_config(app: str, *, socket_path: str = SOCKET) -> str:
    """Return the fingerprint of the app's configuration that a worker runs; empty without one. Raises EdgeDown or EdgeRefused."""
    return str(call("GET", f"/config/{app}", socket_path=socket_path)["fingerprint"])


def own_pass(*, socket_path: str = SOCKET) -> str:
    """Return the word that makes a request the edge's own, so that the app is not protected from it; empty without one."""
    try:
        return str(call("POST", "/pass", socket_path=socket_path)["pass"])
    except (EdgeDown, EdgeRefused):
        return ""  # the request will say so; or provisioned by a version that protects nothing
