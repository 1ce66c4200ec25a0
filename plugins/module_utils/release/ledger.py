# SPDX-License-Identifier: Apache-2.0
"""The ledger: what happened to an app, append-only, a copy on every edge and app host.

A line is a checksum and a JSON entry. A torn last line (a host that lost power while writing) fails its checksum and is
skipped by readers; the next writer starts a new line. Copies may miss entries, so readers merge them by (token, seq).

A ledger is compacted (compaction.py): what happened before a *mark* is kept as history only, without manifests, and decides nothing any more, in
whichever copy it is. So a host that was away, and has it all still, brings back no old fact.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import private_folder, write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.release import credentials
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.release.credentials import Credentials

Entry = dict[str, Any]
Manifest = dict[str, Any]

# The place of each event in its run; together with the run's token it orders the ledgers of the whole fleet.
MARK = "compacted"
SEQUENCE = {MARK: 0, "started": 1, "confirmed": 2, "failed": 3, "reverted": 4, "restored": 5, "rotated": 6, "read": 7}


def entry(
    event: str, *, token: int, time: str, run: Mapping[str, Any], manifest: Manifest | None, **details: Any
) -> Entry:
    """Build an entry: what happened to which release in which run.

    Events are ``started``, ``confirmed``, ``failed``, ``reverted`` (its migrations), ``restored`` (the data, ``to`` a release's
    restore point or a time: {point, moment, summary}) and ``rotated`` (``secrets``: of each the ``version`` that counts, and those ``revoked``),
    and ``read``: a run that changed nothing read secrets. Entries of runs that read or wrote secrets have ``read`` and ``wrote``: lists of
    {from, to, secrets: by name where each is kept, and its version}.
    """
    return {
        "token": token,
        "seq": SEQUENCE[event],
        "event": event,
        "time": time,
        "action": run["action"],
        "run_id": run["id"],
        "who": run["who"],
        "revision": run.get("revision"),
        "release": manifest["id"] if manifest else None,
        "manifest": manifest,
        **details,
    }


def to_line(item: Entry) -> str:
    """Format the entry as a line of the file."""
    body = json.dumps(item, sort_keys=True, separators=(",", ":"))
    return f"{_checksum(body)} {body}\n"


def from_lines(text: str) -> list[Entry]:
    """Parse a ledger file; torn or damaged lines are skipped."""
    entries = []
    for line in text.splitlines():
        checksum, _unused, body = line.partition(" ")
        if body and checksum == _checksum(body):
            entries.append(json.loads(body))
    return entries


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def append(path: str, items: Iterable[Entry]) -> bool:
    """Append entries to the file and sync it; entries it already has (the same token and event) are not added again.

    The caller holds the app's lock. Returns whether anything was added.
    """
    held = {(item["token"], item["event"]) for item in read(path)}
    new = [item for item in items if (item["token"], item["event"]) not in held]
    if not new:
        return False
    private_folder(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "rb+") as handle:
        size = handle.seek(0, os.SEEK_END)
        torn = False
        if size:
            handle.seek(size - 1)
            torn = handle.read(1) != b"\n"
        handle.write((("\n" if torn else "") + "".join(to_line(item) for item in new)).encode())
        handle.flush()
        os.fsync(handle.fileno())
    return True


def read(path: str) -> list[Entry]:
    """Read the entries of the file at ``path``; none without a file."""
    return from_lines(text(path))


def text(path: str, last: int | None = None) -> str:
    """The file as it is, or all that decides anything, and at least its ``last`` lines; empty when there is no file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            lines = handle.readlines()
    except FileNotFoundError:
        return ""
    marks = [number for number, line in enumerate(lines) if f'"event":"{MARK}"' in line]
    first = max(0, len(lines) - last) if last else 0
    return "".join(lines[min(first, *marks[-1:]) if marks else first :])


def keep_aside(path: str, aside: str) -> None:
    """Add a ledger that is about to be removed to the file that keeps it."""
    history = text(path)
    if history:
        write_atomic(aside, text(aside) + history)


class History:
    """The history of an app, from the merged ledgers."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.past: list[Entry] = []  # what happened before, and decides nothing
        self.left_out: dict[str, int] = {}  # host → the token of the last run that went on without it
        self.manifests: dict[str, Manifest] = {}
        self.confirmed: list[str] = []  # release ids, in the order of their first confirmation
        self.rolled_back: set[str] = set()
        self.current: str | None = None  # the release confirmed last
        self.before: dict[
            str, dict[str, Any] | None
        ] = {}  # release → {release, hosts} that was live when it last started
        # release → {release, contracts, restored}, its restore point: when it first started, the live release, the destructive migrations
        # in the database, and whether the data had been restored (as below)
        self.origins: dict[str, dict[str, Any]] = {}
        # What the data was restored to, {time, summary, left_by: the release of that restore point, if known}, until that release is live
        # or a run has checked which migrations the data has.
        self.restored: dict[str, str | None] | None = None
        self.contracted: list[str] = []  # the destructive migrations in the database
        self.contracts: dict[str, list[str]] = {}  # release → those of them in the database when it was last deployed
        # release → {release, names}: the migrations of the release it replaced that are to be reverted once it is live; None for none
        self.revert: dict[str, dict[str, Any] | None] = {}
        self.credentials: Credentials = {}  # of the secrets that were rotated

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def merge_texts(copies: Iterable[str]) -> History:
    """``merge`` the copies' text."""
    return merge(from_lines(copy) for copy in copies)


def merge(copies: Iterable[Iterable[Entry]]) -> History:
    """One history out of all copies, in the order of (token, seq); the order of the copies does not matter."""
    ordered = _ordered(copies)
    floor = max((item["token"] for item in ordered if item["event"] == MARK), default=0)
    history = History([item for item in ordered if item["token"] >= floor])
    history.past = [item for item in ordered if item["token"] < floor]
    contracted_at: list[tuple[str, list[str]]] = []
    for item in ordered:
        release = str(item["release"])
        if item["event"] == MARK:
            _forget(history, item)
            continue
        history.left_out |= dict.fromkeys(item.get("without") or [], item["token"])
        contracted_at.append((item["time"], history.contracted))
        if item["event"] in ("restored", "reverted", "rotated", "read"):
            _apart(history, item, contracted_at)
            continue
        if item.get("manifest"):
            history.manifests[release] = item["manifest"]
        if item["event"] == "started":
            live = (item.get("previous") or {}).get("release")
            origin = {"release": live, "contracts": history.contracted, "restored": history.restored}
            history.origins.setdefault(release, origin)
        if item.get("contracts") is not None:
            history.contracts[release] = history.contracted = item["contracts"]
            # A failed run may not have applied the missing migrations.
            history.restored = history.restored if item["event"] != "confirmed" else None
        history.contracts.setdefault(release, history.contracted)
        if item["event"] in ("started", "confirmed"):
            history.revert[release] = item.get("revert")
        if item["event"] == "started":
            history.before[release] = item.get("previous")
        if item["event"] != "confirmed":
            continue
        history.credentials = credentials.confirmed(history.credentials, item.get("manifest"))
        if (
            item["action"] == "rollback"
            and history.current
            and not _is_newer(release, history.current, history.confirmed)
        ):
            history.rolled_back.add(history.current)
        history.rolled_back.discard(release)
        if release not in history.confirmed:
            history.confirmed.append(release)
        history.current = release
        if history.restored and history.restored["left_by"] == release:
            history.restored = None
    return history


def _apart(history: History, item: Entry, contracted_at: Sequence[tuple[str, list[str]]]) -> None:
    """Take in what happened to the data, to migrations or to a secret, and not to a release."""
    if item["event"] == "restored":
        history.contracted = _contracted_in(item["to"], history, contracted_at)
        origin = history.origins.get(item["to"].get("point", ""), {})
        # No release, when the data lacked migrations even then.
        left_by = None if origin.get("restored") else origin.get("release")
        back = {"time": item["time"], "summary": item["to"].get("summary", ""), "left_by": left_by}
        history.restored = None if left_by and left_by == history.current else back
    elif item["event"] == "reverted":
        history.contracted = [name for name in history.contracted if name not in item["reverted"]]
        release = str(item["release"])
        history.revert = {live: one for live, one in history.revert.items() if one and one["release"] != release}
    elif item["event"] == "rotated":
        history.credentials = credentials.rotated(history.credentials, item)


def _ordered(copies: Iterable[Iterable[Entry]]) -> list[Entry]:
    """The entries of all copies, each once."""
    unique: dict[tuple[int, int, str, str], Entry] = {}
    for item in (item for copy in copies for item in copy):
        # Marks of the same run may differ, and all of them count.
        own = to_line(item) if item["event"] == MARK else item["run_id"]
        key = (item["token"], item["seq"], item["event"], own)
        # Each host writes its own time into an entry, and may have dropped its manifest: of two copies the same one is taken every time.
        unique[key] = min(unique.get(key, item), item, key=lambda one: (not one.get("manifest"), to_line(one)))
    return [unique[key] for key in sorted(unique)]


def _forget(history: History, mark: Entry) -> None:
    """Start again at a mark, with what its summary and all that is known of before say of the database and of hosts.

    Manifests stay: an edge that was away may serve a release of before.
    """
    history.confirmed, history.rolled_back, history.current = [], set(), None
    history.before, history.origins, history.contracts, history.revert = {}, {}, {}, {}
    history.contracted = [*history.contracted, *(one for one in mark["contracted"] if one not in history.contracted)]
    history.restored = history.restored or mark["restored"]
    history.credentials = credentials.merged(history.credentials, mark.get("credentials") or {})
    for host, token in mark["left_out"].items():
        history.left_out[host] = max(token, history.left_out.get(host, 0))


def _contracted_in(
    to: Mapping[str, Any], history: History, contracted_at: Sequence[tuple[str, list[str]]]
) -> list[str]:
    """Return the destructive migrations in restored data: those of every run that had started by then, as in data never restored."""
    if to.get("point"):
        return list(history.origins.get(to["point"], {}).get("contracts", history.contracted))
    # An entry is paired with the list before it.
    later = [contracted for time, contracted in contracted_at if time > to["moment"]]
    return later[0] if later else history.contracted


def _is_newer(release: str, than: str, confirmed: list[str]) -> bool:
    """Whether ``release`` was first confirmed after ``than``: a rollback may also name a later release, which marks none as rolled back."""
    return release in confirmed and than in confirmed and confirmed.index(release) > confirmed.index(than)


def destructive_since(history: History, target: str) -> list[str]:
    """Return the destructive migrations in the database that release ``target`` never ran with."""
    known = history.contracts.get(target, [])
    return [name for name in history.contracted if name not in known]


def brought_since(history: History, target: str | None) -> list[str]:
    """Return the migrations that runs were to apply since release ``target`` was last confirmed, except reverted ones; oldest first.

    Some may not have been applied: only the database knows.
    """
    found: list[str] = []
    for item in history.entries:
        if item["event"] == "confirmed" and item["release"] == target:
            found = []
        elif item["event"] == "reverted":
            found = [name for name in found if name not in item["reverted"]]
        else:
            found += [name for name in brought(item) if name not in found]
    return found


def changed_since(history: History, release: str) -> bool:
    """Whether migrations were reverted or the data restored since a release was last confirmed: the database may lack schema it expects.

    A run that only started to revert counts: it may have died before it recorded the result.
    """
    changed = False
    for item in history.entries:
        if item["event"] == "confirmed" and item["release"] == release:
            changed = False
        elif item["event"] in ("reverted", "restored") or item.get("revert"):
            changed = True
    return changed


def brought(item: Mapping[str, Any]) -> list[str]:
    """Return the migrations an entry's run was about to apply; without that field, those it applied."""
    return list(item.get("migrating") or item.get("migrations") or [])


def brought_by(history: History, release: str) -> list[str]:
    """Return the same for one release."""
    found: list[str] = []
    for item in (item for item in history.entries if item["release"] == release):
        if item["event"] == "reverted":
            found = [name for name in found if name not in item["reverted"]]
        else:
            found += [name for name in brought(item) if name not in found]
    return found


def failed_alongside(history: History, live: str) -> list[str]:
    """Return the releases that were started while ``live`` was live and never went live, oldest first."""
    return [
        release
        for release, before in history.before.items()
        if release not in history.confirmed and (before or {}).get("release") == live
    ]


class NothingToGoBackTo(Exception):
    """There is no release to roll back to; the message says why and what to do."""


def _is_live_again(history: History, release: str, live: str) -> bool:
    """Whether a release would be the live one again: only a secret that does not count any more makes the difference."""
    manifest, current = history.manifests[release], history.manifests.get(live)
    dead = credentials.living(history.credentials, manifest, current)
    return bool(dead and current and manifests.with_secrets(manifest, dead)["fingerprint"] == current["fingerprint"])


def rollback_target(history: History, live: str | None, wanted: str | None = None) -> Manifest:
    """Return the manifest to roll back to from ``live``.

    It is ``wanted`` (a release id, or a version, meaning its newest confirmed release), or else the newest release
    confirmed before the live one, not itself rolled back, and not the same but for a secret that was revoked since. Raises NothingToGoBackTo.
    """
    known = [release for release in history.confirmed if release in history.manifests]
    if wanted:
        matches = [release for release in known if wanted in (release, history.manifests[release]["version"])]
        if not matches:
            raise NothingToGoBackTo(
                f"release_to={wanted} is not a confirmed release; confirmed releases: {', '.join(known) or 'none'}"
            )
        if matches[-1] == live:
            raise NothingToGoBackTo(f"release_to={wanted}: release {live} is already live, nothing to roll back")
        return history.manifests[matches[-1]]
    if live is None:
        raise NothingToGoBackTo("no release is live, nothing to roll back; deploy a version with deploy.yml")
    before = known[: known.index(live)] if live in known else known
    candidates = [
        release
        for release in before
        if release not in history.rolled_back and release != live and not _is_live_again(history, release, live)
    ]
    if not candidates:
        raise NothingToGoBackTo(
            f"release {live} is live, and every earlier confirmed release was itself rolled back; "
            "name one with -e release_to=... (history: status.yml), or deploy a version with deploy.yml"
        )
    return history.manifests[candidates[-1]]
