# SPDX-License-Identifier: Apache-2.0
"""Notices of a run: which events are worth one, and what each receiver gets. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.sluice.stack.plugins.module_utils.events import event as events
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event

STARTED, WAITING, FLIPPED, LIVE, ROLLED_BACK, FAILED, DRILL_FAILED, BACKUP_PROBLEM, CERTIFICATE_LATE = KINDS = (
    "started",
    "waiting",
    "flipped",
    "live",
    "rolled_back",
    "failed",
    "drill_failed",
    "backup_problem",
    "certificate_late",
)
# What a graph of requests gets a mark for.
ANNOTATED = (STARTED, FLIPPED, LIVE, ROLLED_BACK, FAILED)
MARKS = {STARTED: "▶", WAITING: "…", FLIPPED: "⇄", LIVE: "✓", ROLLED_BACK: "↩"}
BAD = "✗"
# What a failure means that is not a release's.
FAILURES = {"drill": DRILL_FAILED, "backup status": BACKUP_PROBLEM, "status": ""}
# Runs whose failure others want to know of at once, and those where it matters once something was changed.
WATCHED, DATA = ("drill", "backup status"), ("restore", "files restore", "rollback")
Notice = dict[str, Any]


class Notices:
    """Makes notices of events: one of a kind for each run."""

    def __init__(self, kinds: Collection[str], link: str = "") -> None:
        """``{report}`` in the link is the name of the run's report."""
        self._kinds = kinds
        self._link = link
        self._made: set[str] = set()
        self._began = False
        self._failures: list[str] = []

    def of(self, event: Event) -> Notice | None:
        """The notice of an event, if it is worth one."""
        self._begin(event)
        if not self._began:
            return None
        if isinstance(event, events.Failed):
            self._failures.append(_failure(event))
        kind, lines = self._kind(event)
        if kind not in self._kinds or kind in self._made:
            return None
        self._made.add(kind)
        run = event.run
        return {
            "id": f"{run.id}-{kind}",
            "kind": kind,
            "app": run.app,
            "action": run.action,
            "release": run.release,
            "who": run.who,
            "run": run.id,
            "time": round(event.time, 3),
            "text": "\n".join(lines),
            "link": self._link.replace("{report}", run.report),
        }

    def _begin(self, event: Event) -> None:
        """What changes nothing, or was refused before anything began, concerns the one who typed it, not the others."""
        match event:
            case events.Planned(lines=lines, status=status):
                self._began = bool(lines) and status != "nothing"
            case events.RunStarted(run=run):
                self._began = run.action in WATCHED
            case events.Changed(run=run) if run.action in DATA:
                self._began = True
            case events.CertificatesLate():
                self._began = True

    def _kind(self, event: Event) -> tuple[str, tuple[str, ...]]:
        match event:
            case events.Planned(lines=lines):
                return STARTED, lines[:1]
            case events.Waiting(step=step, hosts=hosts, seconds=seconds) if step:
                return WAITING, (f"{step}: waiting for {', '.join(hosts)}, {seconds:.0f} s",)
            case events.StepEnded(step="flip", hosts=hosts, failed=()):
                return FLIPPED, (
                    f"all requests go to {event.run.release} on {', '.join(hosts)}, until it is confirmed or reverts",
                )
            case events.Live(lines=lines):
                return LIVE, lines
            case events.RolledBack(lines=lines):
                return ROLLED_BACK, lines
            case events.CertificatesLate(lines=lines):
                return CERTIFICATE_LATE, lines
            # At the end, with what failed on each host.
            case events.RunEnded(run=run) if self._failures:
                return FAILURES.get(run.action, FAILED), tuple(dict.fromkeys(self._failures))
        return "", ()


def _failure(failed: events.Failed) -> str:
    first = failed.message.split("\n", 1)[0]
    return first if failed.worded else f"{failed.host}: {failed.task}: {first}"


def headline(notice: Mapping[str, Any]) -> str:
    """One line for people."""
    by = f" by {notice['who']}" if notice["who"] else ""
    kind = notice["kind"].replace("_", " ")
    what = kind if notice["kind"] in (DRILL_FAILED, BACKUP_PROBLEM, CERTIFICATE_LATE) else f"{notice['action']} {kind}"
    return f"{MARKS.get(notice['kind'], BAD)} {notice['app']}: {what}{by}"


def slack(notice: Mapping[str, Any]) -> dict[str, Any]:
    """The body for an incoming webhook of Slack or Mattermost. Nothing in it is read as a mention, a link or markup."""
    text = _slack_text(f"{headline(notice)}\n{notice['text']}".strip())
    link = f"\n<{notice['link']}|Open the run>" if notice["link"] else ""
    return {"text": text + link, "unfurl_links": False}


def _slack_text(text: str) -> str:
    # https://docs.slack.dev/messaging/formatting-message-text/#escaping
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def teams(notice: Mapping[str, Any]) -> dict[str, Any]:
    """The body for a Teams workflow: a message with an adaptive card."""
    blocks: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": headline(notice), "weight": "Bolder", "wrap": True},
        {"type": "TextBlock", "text": notice["text"], "wrap": True},
    ]
    actions = [{"type": "Action.OpenUrl", "title": "Open the run", "url": notice["link"]}] if notice["link"] else []
    card = {"type": "AdaptiveCard", "version": "1.4", "body": blocks, "actions": actions}
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def grafana(notice: Mapping[str, Any]) -> dict[str, Any]:
    """The body for Grafana's annotations, which are shown in every graph that asks for their tags.

    https://grafana.com/docs/grafana/latest/developers/http_api/annotations/#create-annotation
    """
    tags = ["sluice", *(tag for tag in (notice["app"], notice["kind"], notice["release"]) if tag)]
    text = "\n".join(part for part in (headline(notice), notice["text"], notice["link"]) if part)
    return {"time": round(notice["time"] * 1000), "tags": tags, "text": text}


def wanted(target: str, kind: str, kinds: Collection[str]) -> bool:
    """Whether a target gets a kind of notice; Grafana gets what a graph needs, whatever people want to read."""
    return kind in (ANNOTATED if target.startswith("grafana+") else kinds)


def signature(body: bytes, secret: str) -> str:
    """The value of ``X-Sluice-Signature``: HMAC-SHA256 of the body, as GitHub signs its webhooks."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def request(target: str, notice: Mapping[str, Any], secret: str) -> tuple[str, bytes, dict[str, str]]:
    """The URL, body and headers for a target: ``slack+https://…``, ``teams+https://…``, ``grafana+https://token@…``, or a webhook ``https://…``."""
    kind, _unused, rest = target.partition("+")
    shape = {"slack": slack, "teams": teams, "grafana": grafana}.get(kind)
    body = json.dumps(shape(notice) if shape else dict(notice)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "sluice"}
    if not shape and secret:
        headers["X-Sluice-Signature"] = signature(body, secret)
    if shape is grafana:
        parts = urlsplit(rest)
        token, _at, host = parts.netloc.rpartition("@")
        headers["Authorization"] = f"Bearer {token}"
        rest = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/annotations"
    return rest if shape else target, body, headers
