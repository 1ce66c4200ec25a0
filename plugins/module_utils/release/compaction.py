# SPDX-License-Identifier: Apache-2.0
"""Keep a ledger, and the secrets that its releases used, from growing for ever.

Each host compacts its own copy, by what it knows: the *mark* says from which run on entries count. Of what happened before, the mark has a
summary, and the last runs stay as history without their manifests. Hosts may have different marks; the latest one counts for all.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.release import at_rest, ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import MARK, SEQUENCE, Entry

# Entries of before the mark that stay as history.
PAST_ENTRIES = 200


def compact(entries: Sequence[Entry], keep: int, pinned: Collection[str] = ()) -> list[Entry]:
    """The entries without what no run needs any more; the same ones when there is nothing to drop.

    All that happened since the oldest of the ``keep`` releases confirmed last was begun stays as it is, and one release more: its images
    are removed after this run at the earliest. ``pinned`` are releases that the host serves or runs.
    """
    first = _first_needed(entries, keep + 1, pinned)
    past = [item for item in entries if item["token"] < first]
    if not any(item.get("manifest") for item in past) and len(past) <= PAST_ENTRIES + 1:
        return list(entries)
    kept = [_slim(item) for item in past if item["event"] != MARK][-PAST_ENTRIES:]
    rest = [item for item in entries if item["token"] >= first and item["event"] != MARK]
    return [*kept, _mark(first, past), *rest]


def _first_needed(entries: Sequence[Entry], keep: int, pinned: Collection[str]) -> int:
    """The token from which on entries are needed; 0 for all."""
    confirmed: list[str] = []
    for item in sorted(entries, key=lambda one: (one["token"], one["seq"])):
        if item["event"] == "confirmed":
            confirmed = [*(one for one in confirmed if one != item["release"]), item["release"]]
    if len(confirmed) <= keep:
        return 0
    needed = {*confirmed[-keep:], *pinned}
    while True:
        first: int = min(item["token"] for item in entries if item["release"] in needed)
        # Where the data were restored to is known from the release whose restore point it was.
        points = {item["to"].get("point") for item in entries if item["event"] == "restored" and item["token"] >= first}
        more = {point for point in points if any(item["release"] == point for item in entries)} - needed
        if not more:
            return first
        needed |= more


def _slim(item: Entry) -> Entry:
    return {**item, "manifest": None}


def _mark(first: int, past: Sequence[Entry]) -> Entry:
    """What is still true of before: which destructive migrations the database has, restored data, who was left out when, and revoked secrets."""
    history = ledger.merge([past])
    return {
        "token": first,
        "seq": SEQUENCE[MARK],
        "event": MARK,
        "time": past[-1]["time"] if past else "",
        "action": MARK,
        "run_id": "",
        "who": "",
        "revision": None,
        "release": None,
        "manifest": None,
        "contracted": history.contracted,
        "restored": history.restored,
        "left_out": history.left_out,
        "credentials": history.credentials,
    }


def compact_file(path: str, keep: int, pinned: Collection[str] = ()) -> bool:
    """Compact the ledger in a file, under the app's lock, which the caller holds. Returns whether anything was dropped."""
    before = ledger.read(path)
    after = compact(before, keep, pinned)
    if after == before:
        return False
    write_atomic(path, "".join(ledger.to_line(item) for item in after))
    return True


def unneeded_secrets(entries: Sequence[Entry], stored: Collection[str], running: Collection[str]) -> list[str]:
    """The stored values, as ``NAME.version``, that no release in the ledger names.

    None when a release that is ``running`` is not in the ledger: a host that was repaired may not know it.
    """
    manifests: dict[str, Mapping[str, Any]] = {
        str(item["release"]): item["manifest"] for item in entries if item.get("manifest")
    }
    if set(running) - set(manifests):
        return []
    named = {
        f"{name}.{version}"
        for manifest in manifests.values()
        for service in manifest["services"].values()
        for name, version in service["secrets"].items()
    }
    return sorted(set(stored) - named)


def remove_secrets(folder: str, entries: Sequence[Entry], running: Collection[str]) -> list[str]:
    """Remove the stored values of an app that no release needs any more; their names and versions."""
    secrets = os.path.join(folder, "secrets")
    gone = unneeded_secrets(entries, at_rest.names(secrets), running)
    for name in gone:
        at_rest.remove(secrets, name)
    return gone
