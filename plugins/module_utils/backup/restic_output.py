# SPDX-License-Identifier: Apache-2.0
"""What restic says: pure reading of its output, of releases 0.14 (Debian 12) and 0.18 (Debian 13)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure

# A restic that cannot reach its store goes on trying for a quarter of an hour; why is only in these lines until then.
_RETRY = re.compile(r"^.*?(?:, retrying after \S+|\) failed): (.*)$", re.MULTILINE)
_FATAL = re.compile(r"^(?:Fatal|error): (.*)$", re.MULTILINE)
_FRACTION = re.compile(r"\.(\d{1,6})\d*")
# How restic 0.17 and later end; older ones end with 1 and say it in words.
_CODES = {10: "absent", 11: "locked", 12: "key"}
_SIGNS = (
    ("key", r"wrong password or no key found"),
    (
        "absent",
        r"repository does not exist|unable to open config file: stat: the specified key does not exist"
        r"|unable to open config file: stat .*no such file",
    ),
    ("locked", r"already locked"),
    ("full", r"no space left|disk quota exceeded"),
    (
        "refused",
        r"access.?denied|access key id|signature we calculated|bucket does not exist|nosuchbucket|forbidden",
    ),
    ("untrusted", r"x509:|certificate"),
    ("unreachable", r"connection refused|no such host|i/o timeout|network is unreachable|no route to host|dial tcp"),
    (
        "damaged",
        r"ciphertext verification|pack id does not match|contains errors|contains \d+ errors|does not exist|damaged|invalid data"
        r"|hash mismatch|checksum",
    ),
)
_WORDS = {
    "key": "it cannot be decrypted: the passphrase is not the one it was made with",
    "absent": "there is no repository in it",
    "locked": "another restic has it locked",
    "full": "there is no space in it",
    "refused": "the object store refuses the key, or has no such bucket",
    "untrusted": "the object store's certificate is not trusted",
    "unreachable": "it does not answer",
    "damaged": "what is stored is damaged",
}


class Snapshot(NamedTuple):
    """A snapshot of one source. ``moment`` is epoch seconds, ``size`` the bytes of its files, None where restic does not keep it.

    ``source`` is the first of its ``tags``.
    """

    id: str
    moment: float
    source: str
    path: str
    size: int | None
    tags: tuple[str, ...] = ()


class Saved(NamedTuple):
    """What one backup did, in bytes: all it looked at, and what it added to the repository."""

    snapshot: str
    size: int
    added: int


def explain(code: int, text: str) -> Failure:
    """What a restic that ended with ``code`` says, in one line."""
    lines = [line for line in text.splitlines() if line.strip()]
    reasons = [*_RETRY.findall(text), *_messages(lines), *_FATAL.findall(text)]
    # What is tried again and again is the cause; that it was stopped at last is not.
    reasons = [reason for reason in reasons if "context canceled" not in reason]
    detail = (reasons[0] if reasons else (lines or ["it printed nothing"])[-1]).strip()
    lower = text.lower()
    kind = _CODES.get(code) or next((name for name, sign in _SIGNS if re.search(sign, lower)), "other")
    return Failure(kind, f"{_WORDS[kind]} ({detail})" if kind in _WORDS and kind != "key" else _WORDS.get(kind, detail))


def _messages(lines: Sequence[str]) -> list[str]:
    """The messages of errors that are reported in JSON."""
    found = []
    for line in lines:
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if not isinstance(item, dict):
            continue
        if item.get("message_type") == "error":
            found.append(f"{item.get('item', '')}: {item['error'].get('message', 'error')}")
        elif item.get("message_type") == "exit_error":
            found.append(item["message"].removeprefix("Fatal: ").splitlines()[0])
    return found


def unread(text: str) -> str:
    """Of a backup that could not read everything: how many files, and the first one."""
    found = _messages(text.splitlines()) or [line for line in text.splitlines() if line.startswith("error: ")]
    return f"{len(found)} files could not be read, the first: {found[0]}" if found else "files could not be read"


def snapshots(text: str) -> list[Snapshot]:
    """The snapshots of ``restic snapshots --json``, oldest first; those without a tag are not ours and left out. Raises ValueError, KeyError."""
    found = [_snapshot(item) for item in json.loads(text) or () if item.get("tags")]
    return sorted(found, key=lambda item: item.moment)


def _snapshot(item: dict[str, Any]) -> Snapshot:
    summary = item.get("summary")
    return Snapshot(
        id=item["id"],
        moment=moment(item["time"]),
        source=item["tags"][0],
        path=item["paths"][0],
        size=int(summary["total_bytes_processed"]) if summary else None,
        tags=tuple(item["tags"]),
    )


def moment(text: str) -> float:
    """Epoch seconds of a time as Go writes it, which has nanoseconds."""
    return datetime.fromisoformat(_FRACTION.sub(lambda found: "." + found[1].ljust(6, "0"), text)).timestamp()


def saved(text: str) -> Saved | None:
    """What a backup did, from the summary it ends with; None when it has none."""
    for line in reversed(text.splitlines()):
        if '"message_type":"summary"' in line:
            item = json.loads(line)
            added = item.get("data_added_packed", item["data_added"])
            return Saved(item["snapshot_id"], int(item["total_bytes_processed"]), int(added))
    return None
