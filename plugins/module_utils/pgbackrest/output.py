# SPDX-License-Identifier: Apache-2.0
"""What pgBackRest prints, as data; and arithmetic with WAL file names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository

_ERROR = re.compile(r"^(?:P\d+ +)?ERROR: (\[\d+\]: .*)", re.MULTILINE)


def explain(text: str, *, readable: bool = False) -> Failure:
    """What pgBackRest's error output says, in one line; ``readable`` when the passphrase is known to be right."""
    errors = _ERROR.findall(text)
    line = errors[-1] if errors else (text.strip().splitlines() or ["it printed nothing"])[0]
    lower = text.lower()
    if "hostconnecterror" in lower or "unable to connect" in lower or "unable to get address" in lower:
        return Failure("unreachable", f"the object store does not answer: {line}")
    # What a wrong passphrase makes of a file is no text; it is not shown.
    undecipherable = (
        "found outside of section" in lower or "cipher" in lower or "crypto" in lower or "unable to flush" in lower
    )
    if undecipherable and not readable:
        return Failure("key", "it cannot be decrypted: the passphrase is not the one it was written with")
    if undecipherable or re.search(r"checksum|corrupt|zst error|unexpected eof|decompress", lower):
        return Failure("damaged", f"a file of the backup is damaged: {line}")
    if "missing" in lower or "no backup set found" in lower:
        return Failure("absent", f"it holds no backup, or not all of one: {line}")
    return Failure("other", line)


def read(stanzas: Sequence[Mapping[str, Any]], number: int, name: str) -> Repository:
    """The repository of this number, from ``pgbackrest info --output=json`` of one stanza; ``name`` is what people call it."""
    stanza = stanzas[0] if stanzas else {}
    states = {item["key"]: item["status"] for item in stanza.get("repo", [])}
    systems = {item["id"]: int(item["system-id"]) for item in stanza.get("db", []) if item["repo-key"] == number}
    status = states.get(number, {"code": 1, "message": "missing stanza path"})
    backups = sorted(
        (
            _backup(item, systems)
            for item in stanza.get("backup", [])
            if item["database"]["repo-key"] == number and not item.get("error")
        ),
        key=lambda item: item.ended,
    )
    archives = [item for item in stanza.get("archive", []) if item["database"]["repo-key"] == number]
    last = max((item["max"] for item in archives if item["max"]), default=None)
    failure = None
    if status["code"] == 99:
        failure = explain(status["message"])
    elif status["code"] != 0:
        failure = Failure("absent", f"it holds no backup: {status['message']}")
    return Repository(name, number, failure, tuple(backups), last, sum(item.stored for item in backups))


def _backup(item: Mapping[str, Any], systems: Mapping[int, int]) -> Backup:
    return Backup(
        label=item["label"],
        kind=item["type"],
        begun=float(item["timestamp"]["start"]),
        ended=float(item["timestamp"]["stop"]),
        size=int(item["info"]["size"]),
        stored=int(item["info"]["repository"]["delta"]),
        first_wal=item["archive"]["start"],
        system_id=systems.get(item["database"]["id"], 0),
    )


def segment_of(lsn: str, timeline: int, segment_bytes: int) -> str:
    """Return the name of the WAL file that holds the position ``lsn`` (such as 0/3000060)."""
    high, _unused, low = lsn.partition("/")
    return _segment(timeline, ((int(high, 16) << 32) + int(low, 16)) // segment_bytes, segment_bytes)


def timeline_of(segment: str) -> int:
    """Return the timeline in a WAL file's name."""
    return int(segment[:8], 16)


def next_segment(segment: str, segment_bytes: int) -> str:
    """Return the name of the WAL file after ``segment`` on its timeline."""
    number = int(segment[8:16], 16) * ((1 << 32) // segment_bytes) + int(segment[16:], 16)
    return _segment(timeline_of(segment), number + 1, segment_bytes)


def _segment(timeline: int, number: int, segment_bytes: int) -> str:
    per_id = (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def parent(history: str) -> tuple[int, str]:
    """The timeline a server left when it was promoted, and the position at which; from the newest timeline's history file."""
    lines = [line.split("\t") for line in history.splitlines() if line.strip() and not line.startswith("#")]
    return int(lines[-1][0]), lines[-1][1]


def hole(timeline: int, end: str, last: str | None, segment_bytes: int) -> str | None:
    """The WAL file that a recovery missed, or None when it got as far as the archive goes.

    The recovery ended on ``timeline`` at position ``end``; ``last`` is the last WAL file in the archive. Recovery takes a missing file for the
    end of the archive and says nothing: what comes after it is lost without a word, unless somebody compares.
    """
    reached = segment_of(end, timeline, segment_bytes)
    if last is None or reached >= last[:24]:
        return None
    at_boundary = int(end.partition("/")[2], 16) % segment_bytes == 0
    return reached if at_boundary else next_segment(reached, segment_bytes)
