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


def kinds(*happened: events.Event, wanted: Any = notice.KINDS) -> list[str]:
    made = notice.Notices(wanted)
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
    maker = notice.Notices(notice.KINDS)
    maker.of(PLANNED)
    found = maker.of(event, "https://ci.test/1")
    assert found
    return found


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
    return notice_sender.deliver(ITEM, pause), pauses


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
    assert "needs the Python package apprise" in notice_sender.deliver(item)
