# SPDX-License-Identifier: Apache-2.0
"""Notices to a receiver on this machine: which arrive, which wait, and what a run says of one that does not answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.callback import notify
from ansible_collections.sluice.stack.plugins.callback.notify import CallbackModule
from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events import notice

from tests.support.receivers import Mails, Receiver

AT: dict[str, Any] = {"time": 100.0, "run": events.Run("3ece9e988bf1", "deploy", "shop", "r2", "ann@ci")}
PLANNED = events.Planned(**AT, lines=("Deploy shop v1.1.0",))
LIVE = events.Live(**AT, lines=("shop v1.1.0 is live",), notes=())
FAILED = events.Failed(
    **AT, host="one", task="", where="", message="deploy failed", worded=True, shared=True, unreachable=False
)
REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "token-in-the-path"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver(path=SECRET)
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
        self.plugin.read([*happened, events.RunEnded(**AT, hosts=("one",), seconds=1.0, check=False)])
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


def delivered(said: Said) -> None:
    """The sender has done all it had to do."""
    assert said.plugin._sender is not None
    assert said.plugin._sender.wait(60) == 0


def test_one_that_nobody_listens_for_yet_gets_each_once_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "LAST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    said = Said(targets=f"slack+http://127.0.0.1:{port}/{SECRET}")
    (warning,) = said.run(PLANNED, LIVE)
    assert warning == "notify: slack+http://127.0.0.1 has not answered yet; tried again for 10 minutes"
    late = Receiver(path=SECRET, port=port)
    delivered(said)
    late.server.shutdown()
    assert [body["text"].split("\n")[0] for _unused, body, _more in late.got] == [
        "▶ shop: deploy started by ann@ci",
        "✓ shop: deploy live by ann@ci",
    ]


def test_what_failed_is_sent_again_and_what_arrived_is_not(receiver: Receiver) -> None:
    receiver.statuses = [500, 204, 429, 204]
    said = Said(targets=receiver.address)
    assert said.run(PLANNED, LIVE) == []
    delivered(said)
    assert receiver.asked == [500, 204, 429, 204]
    assert [body["kind"] for _unused, body, _more in receiver.got] == ["started", "live"]


def test_one_that_hangs_keeps_none_of_the_others_waiting(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    monkeypatch.setattr(notify, "LAST_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        said = Said(targets=f"http://127.0.0.1:{mute.getsockname()[1]}/ {receiver.address}")
        said.run(PLANNED, LIVE)
        assert [body["kind"] for _unused, body, _more in receiver.wait_for(2)] == ["started", "live"]
        assert said.plugin._sender is not None
        said.plugin._sender.kill()


def test_a_mail_has_the_headline_and_the_text() -> None:
    pytest.importorskip("apprise", reason="make setup installs it")
    with Mails() as inbox:
        said = Said(targets=inbox.url("ops@shop.test"))
        assert said.run(PLANNED, LIVE) == []
        delivered(said)
    assert inbox.subjects() == ["▶ shop: deploy started by ann@ci", "✓ shop: deploy live by ann@ci"]
    assert inbox.texts()[1] == "shop v1.1.0 is live\nhttps://ci.test/1"


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
        "notify: alive is no kind of notice (SLUICE_NOTIFY_KINDS): use started, waiting, flipped, live, rolled_back, failed, "
        "drill_failed, backup_problem, certificate_late"
    ]


def test_a_dry_run_is_not_announced(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify.context, "CLIARGS", {"check": True})
    said = Said(targets=receiver.address)
    assert said.run(PLANNED, LIVE) == [] and said.plugin._sender is None, "the other tests are the control"


OBSERVED = {
    "ledger": "",
    "lease": {"run_id": None},
    "edge": {
        "record": None,
        "pending_alive": False,
        "certificates": {"time": 0.0, "age": 60.0, "names": [], "problems": ["shop.test ends in 5 days"]},
    },
}
LOOK = [
    {"sluice.stack.app_contract": {"action": "status", "needs_version": False, "edges": ["one"], "apps": ["one"]}},
    {"sluice.stack.release_status": {"app": "shop", "edges": ["one"], "apps": [], "observed_by": "seen"}},
]
APP = {
    "app_name": "shop",
    "app_services": {"web": {"image": "registry.test/web", "port": 80}},
    "app_routes": [{"path": "/", "service": "web"}],
}


def test_a_late_certificate_is_told_by_a_real_look(tmp_path: Path, receiver: Receiver) -> None:
    play = {"hosts": "all", "gather_facts": False, "vars": APP, "tasks": LOOK}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    one = {"ansible_connection": "local", "seen": {"observation": OBSERVED}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"one": one}}}))
    subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts.yml", "play.yml"],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GITHUB_"))},
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".collections"),
            "ANSIBLE_CALLBACKS_ENABLED": "sluice.stack.notify",
            "SLUICE_NOTIFY": receiver.address,
        },
        capture_output=True,
        timeout=60,
        check=True,
    )
    ((_unused, told, _more),) = receiver.wait_for(1)
    assert (told["kind"], told["app"]) == ("certificate_late", "shop")
    assert "shop.test ends in 5 days" in told["text"] and told["text"].startswith("one")


FLIPPED = events.StepEnded(**AT, step="flip", seconds=0.3, hosts=("edge1",), failed=(), summary=())


def test_grafana_gets_a_mark_for_each_moment_and_people_only_what_they_want() -> None:
    grafana, people = Receiver(), Receiver()
    try:
        base = grafana.address.rstrip("/").removeprefix("http://")
        said = Said(targets=f"grafana+http://gl-secret@{base}/ {people.address}", kinds=["live"])
        assert said.run(PLANNED, FLIPPED, LIVE) == []
        marks = grafana.wait_for(3)
        assert [path for path, _body, _headers in marks] == ["/api/annotations"] * 3
        assert all(headers["Authorization"] == "Bearer gl-secret" for _path, _body, headers in marks)
        assert [body["tags"] for _path, body, _headers in marks] == [
            ["sluice", "shop", kind, "r2"] for kind in ("started", "flipped", "live")
        ]
        assert marks[0][1]["time"] == 100_000
        assert "all requests go to r2 on edge1" in marks[1][1]["text"]
        assert [body["kind"] for _path, body, _headers in people.wait_for(1)] == ["live"]
    finally:
        grafana.server.shutdown()
        people.server.shutdown()


def test_a_flip_that_failed_is_no_mark() -> None:
    failed = events.StepEnded(**AT, step="flip", seconds=3, hosts=("edge1",), failed=("edge1",), summary=())
    notices = notice.Notices(notice.KINDS)
    notices.of(PLANNED)
    assert notices.of(failed) is None and (notices.of(FLIPPED) or {})["kind"] == "flipped"
