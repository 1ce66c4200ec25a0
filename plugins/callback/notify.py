# SPDX-License-Identifier: Apache-2.0
"""Notices of a run: it started, a release is live, it was rolled back, it failed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: notify
type: notification
short_description: Send notices of a run to Slack, Teams, a webhook or by mail
version_added: 0.1.0
description:
  - Sends a notice when a run began to change the app, when a release is live, when it was rolled back, and when it failed; when a restore or a drill failed;
    when a look at the backups or at the certificates found a problem. A run sends each kind once.
  - A process apart from the run sends them, and tries again for ten minutes. A receiver that is down delays the end of a run by five seconds at
    most, and never fails it.
  - A webhook gets JSON with C(id), C(kind), C(app), C(action), C(release), C(who), C(run), C(time), C(text) and C(link). With O(secret) it is
    signed by the header C(X-Sluice-Signature), which is C(sha256=) and the HMAC of the body.
author: Sluice maintainers (@sluice-stack)
options:
  targets:
    description:
      - Where to send them, separated by white space. C(slack+https://...) is an incoming webhook of Slack or Mattermost, C(teams+https://...) a Teams
        workflow, C(grafana+https://TOKEN@...) Grafana, which marks the run in its graphs, C(https://...) a webhook. Everything else is a URL of
        apprise, such as C(mailtos://...), and needs that Python package on the controller.
      - They contain secrets, so they come from the environment.
    type: str
    default: ""
    env:
      - name: SLUICE_NOTIFY
  kinds:
    description: Which notices to send; C(started), C(waiting), C(flipped), C(live), C(rolled_back), C(failed), C(drill_failed), C(backup_problem) or
      C(certificate_late).
    type: list
    elements: str
    default: [started, live, rolled_back, failed, drill_failed, backup_problem, certificate_late]
    env:
      - name: SLUICE_NOTIFY_KINDS
    ini:
      - section: callback_sluice_notify
        key: kinds
  secret:
    description: The secret that webhooks are signed with.
    type: str
    default: ""
    env:
      - name: SLUICE_NOTIFY_SECRET
  link:
    description: A link to the run, for the notice; C({report}) in it is the name of the run's report. By default the run of the GitHub Actions or GitLab job.
    type: str
    default: ""
    env:
      - name: SLUICE_NOTIFY_LINK
requirements:
  - enabled in configuration, C(callbacks_enabled = sluice.stack.notify)
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from ansible import context
from ansible_collections.sluice.stack.plugins.module_utils.events import notice
from ansible_collections.sluice.stack.plugins.module_utils.events.event import Event
from ansible_collections.sluice.stack.plugins.plugin_utils import notice_sender
from ansible_collections.sluice.stack.plugins.plugin_utils.reader import Reader

# The longest that a receiver which does not answer keeps a run from ending.
LAST_SECONDS = 5.0


class CallbackModule(Reader):
    """Hands notices to a process of their own."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "sluice.stack.notify"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._notices: notice.Notices | None = None
        self._targets: list[str] = []
        self._sender: subprocess.Popen[bytes] | None = None
        self._open: set[tuple[str, str]] = set()

    def set_options(self, *args: Any, **kwargs: Any) -> None:
        """Read the options, and say at once what is wrong with them."""
        super().set_options(*args, **kwargs)
        self._configure()

    def _configure(self) -> None:
        kinds = self.get_option("kinds")
        unknown = sorted(set(kinds) - set(notice.KINDS))
        if unknown:
            self._display.warning(
                f"notify: {unknown[0]} is no kind of notice (SLUICE_NOTIFY_KINDS): use {', '.join(notice.KINDS)}"
            )
        # Each target has its choice of these.
        self._notices = notice.Notices({*kinds, *notice.ANNOTATED}, self.get_option("link") or _job(os.environ))
        # A dry run concerns the one who typed it.
        self._targets = [] if context.CLIARGS.get("check") else self.get_option("targets").split()

    def read(self, happened: Iterable[Event]) -> None:
        """Hand over a notice of each event that is worth one."""
        for event in happened:
            made = self._notices.of(event) if self._notices and self._targets else None
            if not made:
                continue
            for target in self._targets:
                if notice.wanted(target, made["kind"], self.get_option("kinds")):
                    self._hand_over(target, made)

    def _hand_over(self, target: str, made: notice.Notice) -> None:
        shown = _shown(target)
        item = {"id": made["id"], "target": shown}
        if _is_http(target):
            url, body, headers = notice.request(target, made, self.get_option("secret"))
            item |= {"url": url, "body": body.decode(), "headers": headers}
        else:
            text = f"{made['text']}\n{made['link']}".strip()
            item |= {"apprise": target, "title": notice.headline(made), "text": text}
        try:
            if self._sender is None:
                self._sender = subprocess.Popen(
                    [sys.executable, "-I", notice_sender.__file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C ends the run, and not what it has to tell
                )
            if self._sender.stdin:
                self._sender.stdin.write(json.dumps(item).encode() + b"\n")
                self._sender.stdin.flush()
            self._open.add((made["id"], shown))
        except OSError as error:
            self._display.warning(f"notify: no notice was sent to {shown}: {error}")

    def ended(self) -> None:
        """Give the sender a moment, say what was refused, and leave the rest to it."""
        if self._sender is None or self._sender.stdin is None or self._sender.stdout is None:
            return
        with contextlib.suppress(OSError):  # where it has ended, what it did not deliver is still open
            self._sender.stdin.close()
        deadline, rest = time.monotonic() + LAST_SECONDS, b""
        while self._open and (left := deadline - time.monotonic()) > 0:
            if not select.select([self._sender.stdout], [], [], left)[0]:
                break
            part = os.read(self._sender.stdout.fileno(), 65536)
            if not part:
                break
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                answer = json.loads(line)
                self._open.discard((answer["id"], answer["target"]))
                if answer["error"]:
                    self._display.warning(f"notify: {answer['target']} did not take the notice: {answer['error']}")
        for shown in sorted({shown for _unused, shown in self._open}):
            self._display.warning(f"notify: {shown} has not answered yet; tried again for 10 minutes")


def _is_http(target: str) -> bool:
    return urlsplit(target).scheme in (
        "http",
        "https",
        *(f"{kind}+{scheme}" for kind in ("slack", "teams", "grafana") for scheme in ("https", "http")),
    )


def _shown(target: str) -> str:
    """A target without its secrets: they are in the path, the user or the query."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.hostname or '…'}"


def _job(environ: Any) -> str:
    """The address of the CI job this runs in, if any."""
    if environ.get("GITHUB_RUN_ID"):
        return "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(environ)
    return str(environ.get("CI_JOB_URL", ""))
