# SPDX-License-Identifier: Apache-2.0
"""Who runs what, and why: what a run is known by in ledgers, reports and notices."""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# What a CI hands over is text that somebody wrote: one pattern, and one line, before it goes anywhere. It is never templated.
LOGIN = re.compile(r"[A-Za-z0-9][\w.\[\]-]{0,63}", re.ASCII)
CI_LOGINS = (("GITHUB_ACTOR", "github"), ("GITLAB_USER_LOGIN", "gitlab"))
REASONS = ("SLUICE_REASON", "CI_COMMIT_TITLE")
REASON_LENGTH = 200


def run(action: str, folder: str, reason: str = "", environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Identify a run; ``folder`` is that of the playbooks. Without a ``reason`` it is that of the environment, such as a tag's message."""
    environ = os.environ if environ is None else environ
    return {
        "id": uuid.uuid4().hex[:12],
        "action": action,
        "who": who(environ),
        "reason": one_line(reason or next((environ[name] for name in REASONS if environ.get(name)), "")),
        "revision": revision(folder),
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def who(environ: Mapping[str, str] | None = None) -> str:
    """Return who started it: the login at the CI, else the user of this machine."""
    environ = os.environ if environ is None else environ
    for name, place in CI_LOGINS:
        login = environ.get(name, "")
        if LOGIN.fullmatch(login):
            return f"{login}@{place}"
    return f"{environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def one_line(text: str) -> str:
    """Return the first line of a text that has words, without what a terminal might obey, and not too long."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    shown = " ".join("".join(char if char.isprintable() else " " for char in first).split())
    return shown if len(shown) <= REASON_LENGTH else shown[: REASON_LENGTH - 1] + "…"


def revision(folder: str) -> str | None:
    """Return the git revision of the playbooks, or None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
