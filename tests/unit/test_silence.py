# SPDX-License-Identifier: Apache-2.0
"""A silence by its name: made once, replaced when it would end too early, ended, and never without an end."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.modules import alert_silence

NOW = 1_800_000_000.0


class Alertmanager(http.server.BaseHTTPRequestHandler):
    """Silences in memory, as Alertmanager's API has them."""

    silences: dict[str, dict[str, Any]]

    def do_GET(self) -> None:
        self._answer(list(self.silences.values()))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = f"id{len(self.silences)}"
        self.silences[name] = {**body, "id": name, "status": {"state": "active"}}
        self._answer({"silenceID": name})

    def do_DELETE(self) -> None:
        self.silences[self.path.rpartition("/")[2]]["status"]["state"] = "expired"
        self._answer(None)

    def _answer(self, data: Any) -> None:
        text = json.dumps(data).encode() if data is not None else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[int, dict[str, dict[str, Any]]]]:
    """The port of an Alertmanager, and its silences."""
    handler = type("Handler", (Alertmanager,), {"silences": {}})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_address[1], handler.silences  # type: ignore[attr-defined]
    running.shutdown()


def params(port: int, **more: Any) -> dict[str, Any]:
    matchers = [{"name": "instance", "value": "app2"}]
    given = {"name": "reboot of app2", "state": "present", "matchers": matchers, "seconds": 600.0}
    return {**given, "comment": "by a test", "author": "sluice", "port": port, **more}


def active(silences: dict[str, dict[str, Any]]) -> list[str]:
    return [one["id"] for one in silences.values() if one["status"]["state"] == "active"]


def test_it_is_made_once_and_has_an_end(server: Any) -> None:
    port, silences = server
    first = alert_silence.apply(params(port), NOW, check=False)
    assert first == {"changed": True, "ended": 0, "id": "id0"}
    assert silences["id0"]["endsAt"] == "2027-01-15T08:10:00.000Z"
    assert silences["id0"]["matchers"] == [{"name": "instance", "value": "app2", "isRegex": False, "isEqual": True}]
    assert alert_silence.apply(params(port), NOW, check=False) == {"changed": False, "ended": 0, "id": "id0"}


def test_one_that_would_end_too_early_or_holds_back_else_is_replaced(server: Any) -> None:
    port, silences = server
    alert_silence.apply(params(port), NOW, check=False)
    assert alert_silence.apply(params(port), NOW + 60, check=False)["ended"] == 1
    other = [{"name": "instance", "value": "app3"}]
    assert alert_silence.apply(params(port, matchers=other), NOW + 60, check=False)["ended"] == 1
    assert active(silences) == ["id2"]


def test_it_ends_its_own_alone(server: Any) -> None:
    port, silences = server
    alert_silence.apply(params(port), NOW, check=False)
    alert_silence.apply(params(port, name="reboot of app22"), NOW, check=False)
    assert alert_silence.apply(params(port, state="absent"), NOW, check=False) == {"changed": True, "ended": 1}
    assert active(silences) == ["id1"]
    assert alert_silence.apply(params(port, state="absent"), NOW, check=False) == {"changed": False, "ended": 0}


def test_check_mode_changes_nothing(server: Any) -> None:
    port, silences = server
    assert alert_silence.apply(params(port), NOW, check=True) == {"changed": True, "ended": 0}
    assert not silences


def test_without_an_alertmanager_it_says_so() -> None:
    with pytest.raises(alert_silence.Refused, match="Alertmanager on port 9 of this host does not answer"):
        alert_silence.apply(params(9), NOW, check=False)
