# SPDX-License-Identifier: Apache-2.0
"""Which events are worth a notice, and what each kind of receiver gets."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events import notice
from ansible_collections.sluice.stack.plugins.plugin_utils import notice_sender

RUN = events.Run("3ece9e988bf1", "deploy", "shop", "r2", "ann@ci")
AT: dict[str, Any] = {"time": 100.0, "run": RUN}
PLANNED = events.Planned(**AT, lines=("Deploy shop v1.1.0", "  flip"))
REFUSED = events.Planned(**AT, lines=())
NOTHING = events.Planned(**AT, lines=("Nothing to do",), status="nothing")
LIVE = events.Live(**AT, lines=("shop v1.1.0 is live",), notes=())
BACK = events.RolledBack(**AT, lines=("shop v1.0.0 is live again",), notes=())
FAILED = events.Failed(
    **AT,
    host="edge1",
    task="Report",
    where="",
    message="deploy failed in step start: no\n  the container's log",
    worded=True,
    shared=True,
    unreachable=False,
)


ENDED = events.RunEnded(**AT, hosts=("edge1",), seconds=1.0, check=False)


def kinds(*happened: events.Event, wanted: Any = notice.KINDS) -> list[str]:
    made = notice.Notices(wanted)
    happened = (*happened, ENDED)
    return [found["kind"] for event in happened if (found := made.of(event))]


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ((PLANNED, LIVE), ["started", "live"]),
        ((PLANNED, BACK), ["started", "rolled_back"]),
        ((PLANNED, FAILED, FAILED), ["started", "failed"]),
        ((FAILED,), []),
        ((REFUSED, FAILED), []),
        ((NOTHING, events.Reported(**AT, lines=("already live",), notes=())), []),
    ],
)
def test_each_kind_once_and_nothing_of_what_was_refused_before_it_began(happened: Any, expected: list[str]) -> None:
    assert kinds(*happened) == expected


def test_only_the_kinds_that_were_asked_for() -> None:
    assert kinds(PLANNED, LIVE, wanted=["live"]) == ["live"]


def made(event: events.Event) -> notice.Notice:
    maker = notice.Notices(notice.KINDS, "https://ci.test/1")
    maker.of(PLANNED)
    found = maker.of(event) or maker.of(ENDED)
    assert found
    return found


def other(action: str, *happened: events.Event, changed: bool = False) -> list[notice.Notice]:
    """The notices of a run that is no release."""
    at: dict[str, Any] = {
        "time": 100.0,
        "run": events.Run("aa", action, "db1", who="ann@ci", started="2026-11-28T08:00:00Z"),
    }
    begun = [events.RunStarted(**at)]
    failed = [events.Failed(**{**vars(one), **at}) if isinstance(one, events.Failed) else one for one in happened]
    change = [events.Changed(**at, host="db1", task="restore", diff="", check=False)] if changed else []
    ended = events.RunEnded(**at, hosts=("db1",), seconds=1.0, check=False)
    maker = notice.Notices(notice.KINDS, "https://ci.test/{report}.html")
    return [found for event in [*begun, *change, *failed, ended] if (found := maker.of(event))]


def test_a_drill_that_failed_and_backups_with_a_problem_are_told_with_all_hosts() -> None:
    (drill,) = other("drill", FAILED)
    assert drill["kind"] == "drill_failed" and notice.headline(drill) == "✗ db1: drill failed by ann@ci"
    assert drill["link"] == "https://ci.test/20261128T080000Z-db1-drill-aa.html"
    second = events.Failed(
        **{**vars(FAILED), "host": "app1", "message": "no snapshot", "worded": False, "task": "Files"}
    )
    (problem,) = other("backup status", FAILED, second)
    assert problem["kind"] == "backup_problem"
    assert problem["text"] == "deploy failed in step start: no\napp1: Files: no snapshot"
    assert other("drill") == other("backup status") == [], "what is well is no news"


def test_a_restore_is_told_once_it_changed_something_and_other_looks_never() -> None:
    assert other("restore", FAILED) == other("status", FAILED) == other("history", FAILED) == []
    assert [one["kind"] for one in other("restore", FAILED, changed=True)] == ["failed"]
    assert [one["kind"] for one in other("rollback", FAILED, changed=True)] == ["failed"], "of the data"


def test_a_late_certificate_is_told_with_its_names() -> None:
    late = events.CertificatesLate(**AT, lines=("edge1 CERTIFICATE shop.test ends in 5 d",))
    assert kinds(late, FAILED, wanted=["certificate_late"]) == ["certificate_late"]


def test_a_failure_is_its_first_line_without_a_containers_log() -> None:
    assert made(FAILED)["text"] == "deploy failed in step start: no"
    assert notice.headline(made(FAILED)) == "✗ shop: deploy failed by ann@ci"


HOSTILE = events.Live(**AT, lines=("<!channel> <https://evil.test|shop> & co",), notes=())


def test_nothing_in_a_message_pings_a_channel_or_becomes_a_link() -> None:
    text = notice.slack(made(HOSTILE))["text"]
    assert "&lt;!channel&gt; &lt;https://evil.test|shop&gt; &amp; co" in text
    assert text.endswith("\n<https://ci.test/1|Open the run>")
    card = notice.teams(made(HOSTILE))["attachments"][0]["content"]
    assert [action["url"] for action in card["actions"]] == ["https://ci.test/1"]


def test_a_webhook_is_signed_over_the_very_bytes() -> None:
    url, body, headers = notice.request("https://hooks.test/x", made(LIVE), "s3cret")
    assert url == "https://hooks.test/x"
    assert json.loads(body)["id"] == "3ece9e988bf1-live"
    assert headers["X-Sluice-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert "X-Sluice-Signature" not in notice.request("https://hooks.test/x", made(LIVE), "")[2]


def test_a_slack_webhook_gets_its_own_address_and_no_signature() -> None:
    url, body, headers = notice.request("slack+https://hooks.test/x", made(LIVE), "s3cret")
    assert url == "https://hooks.test/x" and set(json.loads(body)) == {"text", "unfurl_links"}
    assert "X-Sluice-Signature" not in headers


# the sender

ITEM = {"id": "1", "target": "https://hooks.test", "url": "https://hooks.test/x", "body": "{}", "headers": {}}


def tries(monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | None) -> tuple[str, list[float]]:
    """What is said of a notice whose attempts end like this, and the pauses between them."""
    left, pauses, clock = list(outcomes), list[float](), [0.0]

    def send(_: Any) -> None:
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if outcome:
            raise outcome

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(notice_sender, "post", send)
    monkeypatch.setattr(notice_sender.time, "monotonic", lambda: clock[0])
    return notice_sender.deliver(ITEM, 600.0, pause), pauses


def test_a_receiver_that_is_down_gets_it_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    down = OSError("connection refused")
    assert tries(monkeypatch, down, down, down, None) == ("", [1.0, 2.0, 4.0])


def test_a_receiver_that_stays_down_is_given_up_after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    error, pauses = tries(monkeypatch, OSError("status 503"))
    assert error == "status 503"
    assert 600 - notice_sender.LONGEST_PAUSE <= sum(pauses) <= 600 and max(pauses) == notice_sender.LONGEST_PAUSE


def test_what_is_refused_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tries(monkeypatch, notice_sender.Undeliverable("status 404")) == ("status 404", [])


def test_what_only_apprise_knows_says_so_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    item = {"id": "1", "target": "mailto://mail.test", "apprise": "mailto://mail.test", "title": "", "text": ""}
    assert "needs the Python package apprise" in notice_sender.deliver(item, 0.0)


def test_a_receiver_that_says_when_is_asked_then(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = notice_sender.Later("status 429", 20.0)
    assert tries(monkeypatch, busy, OSError("down"), None) == ("", [20.0, 2.0])
    assert tries(monkeypatch, notice_sender.Later("status 503", 9999.0)) == ("status 503", []), "it is too late then"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("99999999", 600.0), ("soon", 0.0), (None, 0.0), ("-3", 0.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_when_to_ask_again_is_read_with_care(said: str | None, seconds: float) -> None:
    assert notice_sender._retry_after(said) == seconds
