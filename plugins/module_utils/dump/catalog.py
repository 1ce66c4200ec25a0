# SPDX-License-Identifier: Apache-2.0
"""Dumps as they are kept in restic repositories: pure reading of snapshots, and the choice of the one to go back to.

What a dump is of is in its snapshot's tags, because restic before 0.17 keeps nothing else that can be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Refused, Target
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.restic_output import Failure as ResticFailure
from ansible_collections.sluice.stack.plugins.module_utils.restic_output import Snapshot

# The first tag of a snapshot, by which retention finds it: made by the timer, or for a release.
SCHEDULED, RELEASE = "dump", "release"
_KINDS = {"absent": "empty", "damaged": "corrupt", "key": "key", "unreachable": "unreachable"}


class Dump(NamedTuple):
    """A dump of all databases. Times are epoch seconds: what was written after ``begun`` may be missing, what was written after ``ended`` is."""

    id: str
    begun: float
    ended: float
    bytes: int  # of the databases, in the server
    size: int  # of the dump's files
    system_id: int
    release: str  # the release it was made for; empty where the timer made it
    path: str

    @property
    def label(self) -> str:
        """What people call it."""
        return self.id[:8]


class Store(NamedTuple):
    """A repository as it answered: its dumps, oldest first."""

    name: str
    failure: ResticFailure | None
    dumps: tuple[Dump, ...]

    @property
    def newest(self) -> Dump | None:
        """The newest dump."""
        return self.dumps[-1] if self.dumps else None


def tags(dump: Dump) -> list[str]:
    """What a dump's snapshot is tagged with."""
    facts = {
        "begun": f"{dump.begun:.3f}",
        "ended": f"{dump.ended:.3f}",
        "bytes": dump.bytes,
        "size": dump.size,
        "system": dump.system_id,
    }
    release = [f"release={dump.release}"] if dump.release else []
    return [RELEASE if dump.release else SCHEDULED, *(f"{name}={value}" for name, value in facts.items()), *release]


def read(snapshots: Sequence[Snapshot]) -> tuple[Dump, ...]:
    """The dumps among snapshots, oldest first; what has not all of a dump's tags is none."""
    found = []
    for item in snapshots:
        facts = dict(tag.partition("=")[::2] for tag in item.tags)
        try:
            found.append(
                Dump(
                    id=item.id,
                    begun=float(facts["begun"]),
                    ended=float(facts["ended"]),
                    bytes=int(facts["bytes"]),
                    size=int(facts["size"]),
                    system_id=int(facts["system"]),
                    release=facts.get("release", ""),
                    path=item.path,
                )
            )
        except (KeyError, ValueError):
            continue
    return tuple(sorted(found, key=lambda dump: dump.ended))


def as_repository(number: int, store: Store, stored: int) -> Repository:
    """A store as the status and a release's questions know repositories; ``stored`` are the bytes in it."""
    failure = store.failure and Failure(_KINDS.get(store.failure.kind, "other"), store.failure.message)
    backups = tuple(
        Backup(item.label, "full", item.begun, item.ended, item.bytes, 0, "", item.system_id) for item in store.dumps
    )
    return Repository(store.name, number, failure, backups, None, stored)


def choose(stores: Sequence[Store], wanted: Target, name: str) -> tuple[Store, Dump]:
    """The dump to go back to, from the store called ``name``, or the first that has one when it is empty. Raises Refused.

    It is the newest, the one made for a release, or the newest that was whole at a moment.
    """
    why = []
    for store in stores:
        if name and store.name != name:
            continue
        if store.failure:
            why.append(f"{store.name}: {store.failure.message}")
            continue
        fit = [item for item in store.dumps if _fits(item, wanted)]
        if fit:
            return store, fit[-1]
        oldest = f"its oldest dump is of {when(store.dumps[0].ended)}" if store.dumps else "it holds no dump"
        why.append(f"{store.name}: {'no dump was made for it' if wanted.kind == 'point' and store.dumps else oldest}")
    if not why:
        raise Refused(f"there is no repository {name}; there are {', '.join(item.name for item in stores) or 'none'}")
    raise Refused(f"there is no dump of {words(wanted)}: {'; '.join(why)}")


def _fits(dump: Dump, wanted: Target) -> bool:
    if wanted.kind == "point":
        return dump.release == wanted.value
    return wanted.moment is None or dump.ended <= wanted.moment


def words(wanted: Target) -> str:
    """What is gone back to, for people."""
    if wanted.kind == "time":
        return f"{when(wanted.moment or 0)} or before"
    return "the database" if wanted.kind == "latest" else f"release {wanted.value}"
