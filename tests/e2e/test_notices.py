# SPDX-License-Identifier: Apache-2.0
"""What receivers see of real runs, though they are down for the first minute: each message once, and no secret anywhere."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import CRASH, Variants
from tests.support.lab import APP, INVENTORY, QUICK, Lab, until
from tests.support.playbook import Run, Started
from tests.support.receivers import Mails, Receiver, mail_url

TOKEN, PASSWORD = "T0KEN-in-the-path", "pa55word-of-the-mail"
DOWN_SECONDS = 60.0
CALLBACKS = "events,killer,sluice.stack.report,sluice.stack.notify"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def senders() -> dict[int, str]:
    """The senders that are still at work, with their arguments."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if "notice_sender" in arguments and str(Path.cwd()) in (process / "environ").read_text():
                found[int(process.name)] = arguments
    return found


class World:
    """Runs with both receivers configured, which are not there yet."""

    def __init__(self, folder: Path) -> None:
        self.reports = folder / "reports"
        self.ports = free_port(), free_port()
        login = f"sluice:{PASSWORD}"
        self.environ = {
            "ANSIBLE_CALLBACKS_ENABLED": CALLBACKS,
            "SLUICE_REPORT_DIRECTORY": str(self.reports),
            "SLUICE_NOTIFY": f"slack+http://127.0.0.1:{self.ports[0]}/{TOKEN} {mail_url(self.ports[1], 'ops@shop.test', login)}",
            "SLUICE_NOTIFY_LINK": "https://reports.test/{report}.html",
            "SLUICE_REASON": "Quarterly release",
            "GITHUB_ACTOR": "octocat",
        }
        self.printed = ""

    def run(self, playbook: str, *words: str) -> Run:
        done = Started([playbook, "-i", INVENTORY, *QUICK, *words], self.environ).wait()
        self.printed += done.output
        return done


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    return World(tmp_path)


@pytest.mark.soak
def test_receivers_see_exactly_these_messages(lab: Lab, v1_0_0: str, variant: Variants, world: World) -> None:
    pytest.importorskip("apprise", reason="make setup installs it")
    crash = variant.push("v1.2.0-crash", CRASH)
    began = time.monotonic()
    first = world.run("deploy.yml", "-e", "app_version=v1.1.0").good()
    assert "has not answered yet; tried again for 10 minutes" in first.output
    at_work = senders()
    assert at_work, "it goes on without the run"
    assert not [text for text in at_work.values() if TOKEN in text or PASSWORD in text]
    assert world.run("deploy.yml", "-e", "app_version=v1.1.0").code == 0, "nothing to do, and nothing to say"

    time.sleep(max(0.0, DOWN_SECONDS - (time.monotonic() - began)))
    slack = Receiver(path=TOKEN, port=world.ports[0])
    with Mails(world.ports[1]) as mail:
        slack.wait_for(2, 90)
        until(lambda: len(mail.subjects()) >= 2, 90, "both mails arrived")
        assert world.run("deploy.yml", "-e", f"app_version={crash}").code == 3
        assert world.run("deploy.yml", "-e", "app_version=v9.9.9").code == 2, "refused before any change"
        world.run("rollback.yml").good()
        until(lambda: not senders(), 90, "the senders have ended")
    slack.server.shutdown()

    expected = [
        (f"▶ {APP}: deploy started by octocat@github", r"Deploy marketplace v1\.1\.0 as release \S+-v1\.1\.0 \(token \d+\); live now: .*"),
        (f"✓ {APP}: deploy live by octocat@github", r"marketplace v1\.1\.0 is live \(release \S+, slot \w+\), [\d.]+ s"),
        (f"▶ {APP}: deploy started by octocat@github", r"Deploy marketplace v1\.2\.0-crash as release .*"),
        (f"✗ {APP}: deploy failed by octocat@github", r"deploy failed in step start: app1, app2: container .* exited with code 37\. .*"),
        (f"▶ {APP}: rollback started by octocat@github", r"Roll back to marketplace v1\.0\.0 as release .*"),
        (f"↩ {APP}: rollback rolled back by octocat@github", r"marketplace v1\.0\.0 is live again .*|marketplace v1\.0\.0 is live .*"),
    ]  # fmt: skip
    names = {path.stem for path in world.reports.glob("*.html")}
    texts = [str(body["text"]) for _unused, body, _more in slack.got]
    assert [text.split("\n")[0] for text in texts] == mail.subjects() == [head for head, _unused in expected]
    for text, letter, (_unused, pattern) in zip(texts, mail.texts(), expected, strict=True):
        _head, *lines, link = text.split("\n")
        assert re.fullmatch(pattern, lines[0]), lines
        report = link.removeprefix("<https://reports.test/").removesuffix(".html|Open the run>")
        assert report in names, "the link is to the run's report"
        assert letter.split("\n")[-1] == f"https://reports.test/{report}.html"

    reports = [json.loads(path.read_text()) for path in sorted(world.reports.glob("*.json"))]
    assert [(one["outcome"], one["code"]) for one in reports] == [
        ("live", 0),
        ("done", 0),
        ("failed", 3),
        ("failed", 2),
        ("rolled back", 0),
    ]
    live = reports[0]
    assert (live["who"], live["reason"]) == ("octocat@github", "Quarterly release")
    assert set(live["commits"]) == {"backend", "frontend"} and all(one["created"] for one in live["commits"].values())
    assert set(live["health"]) == {"app1", "app2"} and live["previous_images"] != live["images"]

    secrets = [TOKEN, PASSWORD, *lab.secrets().values()]
    told = [world.printed, *texts, *mail.texts(), *(path.read_text() for path in world.reports.glob("*"))]
    assert [secret for secret in secrets for text in told if secret in text] == []
    # The control: what is looked for would be found where it is.
    assert any(TOKEN in path for path, _body, _more in slack.got) and all(len(secret) > 7 for secret in secrets)


@pytest.mark.soak
def test_a_failed_drill_is_told_by_the_drill_and_by_the_next_look_at_the_backups(lab: Lab, world: World) -> None:
    slack = Receiver(path=TOKEN, port=world.ports[0])
    world.environ["SLUICE_NOTIFY"] = f"slack+http://127.0.0.1:{world.ports[0]}/{TOKEN}"
    record, kept = "/var/lib/sluice/backup/drill.json", "/var/lib/sluice/backup/drill.kept"
    lab.shell("db1", f"test -e {record} || sluice-backup drill", timeout=120)
    assert world.run("playbooks/backup/status.yml").code == 0, "what is well is no news"
    assert world.run("playbooks/backup/drill.yml", "-e", "drill_repository=nowhere").code == 4
    lab.shell("db1", f'cp -p {record} {kept} && sed -i \'s/"verdict": "proved"/"verdict": "failed"/\' {record}')
    try:
        assert world.run("playbooks/backup/status.yml").code == 2
    finally:
        lab.shell("db1", f"mv {kept} {record}")
    until(lambda: not senders(), 60, "the senders have ended")
    slack.server.shutdown()
    texts = [str(body["text"]).split("\n")[:2] for _unused, body, _more in slack.got]
    assert [head for head, _unused in texts] == [
        "✗ db1: drill failed by octocat@github",
        f"✗ {APP}: backup problem by octocat@github",
    ]
    assert texts[0][1] == "db1: there is no repository nowhere; there are store, local"
    assert re.fullmatch(r"db1: .*the last restore drill .* failed: .*", texts[1][1])
    assert [json.loads(path.read_text())["action"] for path in sorted(world.reports.glob("*.json"))] == [
        "drill",
        "backup status",
    ]
