# SPDX-License-Identifier: Apache-2.0
"""Notices to a receiver on this machine: which arrive, which wait, and what a run says of one that does not answer."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.callback import notify
from ansible_collections.sluice.stack.plugins.callback.notify import CallbackModule
from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events import notice

AT: dict[str, Any] = {"time": 100.0, "run": events.Run("3ece9e988bf1", "deploy", "shop", "r2", "ann@ci")}
PLANNED = events.Planned(**AT, lines=("Deploy shop v1.1.0",))
LIVE = events.Live(**AT, lines=("shop v1.1.0 is live",), notes=())
FAILED = events.Failed(
    **AT, host="one", task="", where="", message="deploy failed", worded=True, shared=True, unreachable=False
)
SECRET = "token-in-the-path"


class Receiver:
    """An HTTP server that keeps what it is sent; the first requests get ``statuses``."""

    def __init__(self, *statuses: int) -> None:
        receiver = self
        self.got: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.statuses = list(statuses)
        self.arrived = threading.Condition()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                self.send_response(status)
                self.end_headers()
                if status == 204:
                    with receiver.arrived:
                        receiver.got.append((self.path, json.loads(body), dict(self.headers)))
                        receiver.arrived.notify_all()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/{SECRET}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count: int) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
        """What arrived, once it is so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, 30), self.got
            return self.got


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.server.shutdown()


class Said:
    """A callback with these options, and the warnings of its run."""

    def __init__(self, **options: Any) -> None:
        self.warnings: list[str] = []
        self.plugin = CallbackModule()
        defaults = {"kinds": list(notice.KINDS), "secret": "", "link": "https://ci.test/1"}
        self.plugin.get_option = lambda name: {**defaults, **options}[name]
        self.plugin._display = self
        self.plugin._configure()

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def run(self, *happened: events.Event) -> list[str]:
        """A run with these events, to its end."""
        self.plugin.read(happened)
        self.plugin.ended()
        return self.warnings


def test_every_receiver_gets_its_notices_in_order(receiver: Receiver) -> None:
    targets = f"{receiver.address} slack+{receiver.address}/slack"
    assert Said(targets=targets, secret="s3cret").run(PLANNED, LIVE) == []
    got = receiver.wait_for(4)
    hooks = [(body, headers) for path, body, headers in got if path == f"/{SECRET}"]
    assert [body["kind"] for body, _unused in hooks] == ["started", "live"]
    assert all("X-Sluice-Signature" in headers for _unused, headers in hooks)
    texts = [body["text"] for path, body, _unused in got if path == f"/{SECRET}/slack"]
    assert texts == [
        "▶ shop: deploy started by ann@ci\nDeploy shop v1.1.0\n<https://ci.test/1|Open the run>",
        "✓ shop: deploy live by ann@ci\nshop v1.1.0 is live\n<https://ci.test/1|Open the run>",
    ]


def test_a_receiver_that_was_down_at_first_gets_them_after_the_run(receiver: Receiver) -> None:
    receiver.statuses = [503, 503]
    Said(targets=receiver.address).run(PLANNED, FAILED)
    assert [body["kind"] for _unused, body, _more in receiver.wait_for(2)] == ["started", "failed"]


def test_one_that_refuses_is_named_without_its_secret(receiver: Receiver) -> None:
    receiver.statuses = [404]
    (warning,) = Said(targets=receiver.address).run(PLANNED)
    assert warning == "notify: http://127.0.0.1 did not take the notice: status 404"


def test_one_that_says_nothing_lets_the_run_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "LAST_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        said = Said(targets=f"http://127.0.0.1:{mute.getsockname()[1]}/{SECRET}")
        (warning,) = said.run(PLANNED)
        sender = said.plugin._sender
        assert sender is not None and sender.poll() is None, "it goes on without the run"
        sender.kill()
    assert warning == "notify: http://127.0.0.1 has not answered yet; tried again for 10 minutes"


def test_no_secret_is_in_the_arguments_of_a_process(receiver: Receiver) -> None:
    said = Said(targets=receiver.address, secret="s3cret")
    said.plugin.read([PLANNED])
    receiver.wait_for(1)
    assert said.plugin._sender is not None
    arguments = Path(f"/proc/{said.plugin._sender.pid}/cmdline").read_bytes().decode()
    assert "notice_sender" in arguments and SECRET not in arguments and "s3cret" not in arguments
    said.plugin.ended()


def test_a_kind_that_does_not_exist_and_no_target_at_all() -> None:
    assert Said(targets="", kinds=["alive"]).run(PLANNED, LIVE) == [
        "notify: alive is no kind of notice (SLUICE_NOTIFY_KINDS): use started, waiting, live, rolled_back, failed"
    ]


def test_a_dry_run_is_not_announced(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify.context, "CLIARGS", {"check": True})
    said = Said(targets=receiver.address)
    assert said.run(PLANNED, LIVE) == [] and said.plugin._sender is None, "the other tests are the control"
