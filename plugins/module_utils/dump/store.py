# SPDX-License-Identifier: Apache-2.0
"""Dumps in restic repositories: what is in them, a dump stored there, and one fetched again.

What a dump is of is in its snapshot's tags, because restic before 0.17 keeps nothing else that can be queried.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import restic, restore_plan
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import STATE, USER, backup
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import (
    Backup,
    Failure,
    Repository,
    RepositoryError,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Snapshot
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Target
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json

# One at a time: a dump, a restore, a drill. restic refuses to forget while somebody reads.
LOCK = os.path.join(STATE, "backup.lock")
RUNS = os.path.join(STATE, "runs.json")
MANIFEST = "manifest.json"
# The first tag of a snapshot, by which retention finds it: made by the timer, or for a release.
SCHEDULED, RELEASE = "dump", "release"
Host = Mapping[str, Any]


def repositories(host: Host) -> list[Repository]:
    """Read what is in the repositories; one that does not answer has a ``failure``."""
    return [look(item, number) for number, item in enumerate(host["repositories"], start=1)]


def look(repository: Host, number: int = 0) -> Repository:
    """Read what is in one repository, and the bytes that were stored when something was last added to it."""
    name = repository["name"]
    stored = int(read_json(RUNS, {}).get(name, {}).get("stored") or 0)
    try:
        return Repository(name, number, None, dumps(restic.snapshots(repository)), None, stored)
    except RepositoryError as error:
        return Repository(name, number, error.failure, (), None, stored)


def tags(dump: Backup) -> list[str]:
    """Return what a dump's snapshot is tagged with."""
    facts = {
        "begun": f"{dump.begun:.3f}",
        "ended": f"{dump.ended:.3f}",
        "bytes": dump.size,
        "size": dump.stored,
        "system": dump.system_id,
    }
    release = [f"release={dump.release}"] if dump.release else []
    return [RELEASE if dump.release else SCHEDULED, *(f"{name}={value}" for name, value in facts.items()), *release]


def dumps(snapshots: Sequence[Snapshot]) -> tuple[Backup, ...]:
    """Return the dumps among snapshots, oldest first: those with all of a dump's tags."""
    found = []
    for item in snapshots:
        facts = dict(tag.partition("=")[::2] for tag in item.tags)
        try:
            found.append(
                Backup(
                    label=item.id[:8],
                    kind="full",
                    begun=float(facts["begun"]),
                    ended=float(facts["ended"]),
                    size=int(facts["bytes"]),
                    stored=int(facts["size"]),
                    system_id=int(facts["system"]),
                    id=item.id,
                    path=item.path,
                    release=facts.get("release", ""),
                )
            )
        except (KeyError, ValueError):
            continue
    return tuple(sorted(found, key=lambda dump: dump.ended))


def choose(host: Host, target: Target, name: str) -> tuple[Repository, Backup]:
    """Return the dump to restore: the newest, the one made for a release, or the newest that was whole at a moment. Raises Refused."""

    def fits(dump: Backup) -> bool:
        if target.kind == "point":
            return dump.release == target.value
        return target.moment is None or dump.ended <= target.moment

    return restore_plan.choose(repositories(host), name, fits, f"dump {summary(target)}".strip())


def summary(target: Target) -> str:
    """Return which dump a target is, for people."""
    if target.kind == "time":
        return f"of {when(target.moment or 0)} or before"
    return f"made before release {target.value}" if target.kind == "point" else ""


def restore_point(host: Host, name: str, timeout: float) -> dict[str, Any]:
    """Make a dump for the release ``name``; where it is, as {name, system_id, time, dump}. Raises HostError."""
    backup("full", "--point", name, timeout=timeout)
    _unused, dump = choose(host, Target("point", name, None), "")
    return {"name": name, "system_id": str(dump.system_id), "time": when(dump.begun), "dump": dump.label}


def named(host: Host, name: str) -> Host:
    """Return the settings of a repository."""
    found: Host = next(item for item in host["repositories"] if item["name"] == name)
    return found


def keep(host: Host, repository: Host, dump: Backup) -> dict[str, Any]:
    """Store a dump, whose files are in its ``path``, and forget what retention does not keep. Raises RepositoryError.

    Returns {snapshot, stored}: restic's id, and the bytes in the repository then.
    """
    saved, unread = restic.backup(repository, host["stanza"], tags(dump), dump.path, ())
    if unread:
        # Half a dump is none.
        restic.must(repository, "forget", "--quiet", saved.snapshot)
        raise RepositoryError(Failure("other", unread))
    with restic.retention():
        restic.forget(repository, host["stanza"], SCHEDULED, {**host["keep"], **repository["keep"]}, "host")
        restic.forget(repository, host["stanza"], RELEASE, host["keep_releases"], "host")
        return {"snapshot": saved.snapshot, "stored": restic.prune(repository)}


def manifest(repository: Host, dump: Backup) -> dict[str, Any]:
    """Return what is in a dump: ``{version, databases}``, each database a row of dump_sql.DATABASES with its ``folder``. Raises RepositoryError."""
    text = restic.must(repository, "dump", "--quiet", "--no-lock", dump.id, os.path.join(dump.path, MANIFEST))
    found: dict[str, Any] = json.loads(text)
    return found


def fetch(repository: Host, dump: Backup, folder: str) -> str:
    """Write a dump's files below ``folder``, a new directory, and read them back; return where they are. Raises RepositoryError."""
    private(folder)
    restic.restore(repository, dump.id, folder)
    # The host it was made on may have had another number for the user.
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            shutil.chown(os.path.join(place, name), USER, USER)
    return folder + dump.path


def private(folder: str) -> None:
    """Make a new directory for the cluster's user only, in place of what a killed run left."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    shutil.chown(folder, USER, USER)
