# SPDX-License-Identifier: Apache-2.0
"""Flags that are switched off at once, on a host, whatever Unleash says.

Each switch is an event in a history of its own; of two events for a flag the later one counts, on every host. So a host that was away
catches up, and no lease is needed: not even the one that a deploy holds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_atomic, write_json
from ansible_collections.sluice.stack.plugins.module_utils.paths import STATE_ROOT, flags_folder, flags_history
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

# {flag, action: kill, revive or rollout, time, run_id, who, reason}
Event = dict[str, Any]
KILL, REVIVE = "kill", "revive"
# What a rollout did is in the history, and switches nothing.
ROLLOUT = "rollout"
# Lines of the history that are kept, besides the last one of each flag.
KEPT = 500


def latest(copies: Iterable[Iterable[Event]]) -> dict[str, Event]:
    """Return the event that counts for each flag, of the copies of some hosts. Pure."""
    found: dict[str, Event] = {}
    for event in (event for copy in copies for event in copy if event["action"] != ROLLOUT):
        before = found.get(event["flag"])
        if before is None or (event["time"], event["run_id"]) > (before["time"], before["run_id"]):
            found[event["flag"]] = event
    return dict(sorted(found.items()))


def killed(events: Mapping[str, Event]) -> list[str]:
    """Return the flags whose last event switched them off. Pure."""
    return [flag for flag, event in events.items() if event["action"] == KILL]


def news(mine: Mapping[str, Event], others: Iterable[Event]) -> list[Event]:
    """Return those of the events that change what counts here. Pure."""
    after = latest([mine.values(), others])
    was = {flag: event["action"] for flag, event in mine.items()}
    return [event for flag, event in after.items() if event["action"] != was.get(flag, REVIVE)]


def trimmed(events: Sequence[Event], kept: int = KEPT) -> list[Event]:
    """Return the events without old ones that count no more. Pure."""
    last = list(latest([events]).values())
    return [event for index, event in enumerate(events) if index >= len(events) - kept or event in last]


def read(app: str, root: str = STATE_ROOT) -> list[Event]:
    """Read this host's history of switches."""
    return ledger.read(flags_history(app, root))


def folder(app: str, root: str = STATE_ROOT) -> str:
    """Make the folder that containers see, readable for any user of theirs; returns its path."""
    path = flags_folder(app, root)
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o755)  # noqa: S103 - no secret is in it, and nobody but root gets to it from outside a container
    return path


def known(app: str, root: str = STATE_ROOT) -> list[str] | None:
    """Return the names of the flags that Unleash last told this host of; None when it has told none."""
    try:
        kept = read_json(_features(app, root))
        return sorted(str(one["name"]) for one in kept["features"]) if kept else None
    except (ValueError, KeyError, TypeError):
        return None


def features(app: str, root: str = STATE_ROOT) -> str:
    """Return what Unleash last told this host; empty when it has told nothing."""
    with contextlib.suppress(OSError, UnicodeDecodeError), open(_features(app, root), encoding="utf-8") as handle:
        return handle.read()
    return ""


def _features(app: str, root: str) -> str:
    return os.path.join(flags_folder(app, root), "features.json")


def learn(app: str, events: Sequence[Event], others: Sequence[str], root: str = STATE_ROOT) -> None:
    """Take over what other hosts know, before a container starts: events, and what Unleash said where this host was told nothing."""
    if events:
        switch(app, events, root)
    heard = next((text for text in others if text), "")
    if heard and not features(app, root):
        folder(app, root)
        write_atomic(_features(app, root), heard, 0o644)


def switch(app: str, events: Iterable[Event], root: str = STATE_ROOT) -> list[Event]:
    """Take over events that count more than this host's; returns those that changed something.

    The file that containers read is written first, and also where it was lost.
    """
    history = flags_history(app, root)
    with locked(f"{history}.lock"):
        have = read(app, root)
        given = list(events)
        new = news(latest([have]), given)
        notes = [one for one in given if one["action"] == ROLLOUT and one not in have]
        after = [*have, *new, *notes]
        place = os.path.join(folder(app, root), "killed.json")
        wanted = {"killed": killed(latest([after]))}
        try:
            seen = read_json(place)
        except ValueError:
            seen = None
        if seen != wanted and (seen is not None or wanted["killed"]):
            write_json(place, wanted, 0o644)
        if new or notes:
            write_atomic(history, "".join(ledger.to_line(event) for event in trimmed(after)))
    return new
