# SPDX-License-Identifier: Apache-2.0
"""A restore of files: planned from what the repositories and the host say, and carried out only as planned."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils import restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import moment_of, when
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.file_backup.host import STATE, FilesError
from ansible_collections.sluice.stack.plugins.module_utils.file_backup.status import Seen
from ansible_collections.sluice.stack.plugins.module_utils.files import sync_directory, write_json
from ansible_collections.sluice.stack.plugins.module_utils.restic_output import Snapshot

RECORD = os.path.join(STATE, "restore.json")
ROOM_FACTOR, ROOM_BYTES = 1.05, 64 * 2**20


class Wanted(NamedTuple):
    """What was asked for; empty where nothing was said. ``moment`` is epoch seconds."""

    source: str
    repository: str
    snapshot: str
    moment: float | None
    to: str


def wanted(source: str, repository: str, snapshot: str, moment: str, to: str) -> Wanted:
    """What was asked for; ``moment`` is ISO 8601 with its zone. Raises FilesError."""
    if snapshot and moment:
        raise FilesError("both a snapshot and a time are named; name one")
    if to and (not os.path.isabs(to) or os.path.normpath(to) != to):
        raise FilesError(f"{to} is no absolute path of a directory")
    stamp = None
    if moment:
        try:
            stamp = moment_of(moment)
        except ValueError as error:
            raise FilesError(str(error)) from error
    return Wanted(source, repository, snapshot, stamp, to)


def choose(seen: Sequence[Seen], source: str, asked: Wanted) -> tuple[Seen, Snapshot]:
    """The repository that is named, or the first that has what is needed, and the snapshot. Raises FilesError."""
    why = []
    for repository in seen:
        if asked.repository not in ("", repository.name):
            continue
        fit = [
            item
            for item in repository.of(source)
            if (asked.moment is None or item.moment <= asked.moment) and item.id.startswith(asked.snapshot)
        ]
        if fit:
            return repository, fit[-1]
        mine = repository.of(source)
        why.append(
            f"{repository.name}: "
            + (repository.failure or (f"its oldest snapshot is of {when(mine[0].moment)}" if mine else "it has none"))
        )
    if not why:
        names = ", ".join(item.name for item in seen)
        raise FilesError(f"there is no repository {asked.repository}; there are {names}")
    what = f"snapshot {asked.snapshot}" if asked.snapshot else "snapshot"
    before = f" of {when(asked.moment)} or before" if asked.moment is not None else ""
    raise FilesError(f"{source} has no {what}{before}: {'; '.join(why)}")


def identity(facts: Mapping[str, Any]) -> str:
    """What confirms a plan: the same facts, the same id."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]


def plan(host: Mapping[str, Any], seen: Sequence[Seen], asked: Wanted) -> dict[str, Any]:
    """What would be done now. Raises FilesError or ResticError."""
    source = hosts.source_named(host, asked.source)
    repository, snapshot = choose(seen, source["name"], asked)
    target = asked.to or _place(source, snapshot)
    here = _inode(target)
    if asked.to and here is not None:
        raise FilesError(f"{target} is there: name a directory that is not there yet")
    if os.path.ismount(target):
        raise FilesError(
            f"{target} is a mount point, which cannot be moved aside: restore to another directory on it (files_to)"
        )
    facts = {
        "host": host["name"],
        "source": source["name"],
        "repository": repository.name,
        "snapshot": snapshot.id,
        "target": target,
        "here": here,
    }
    found = {
        **facts,
        "id": identity(facts),
        "path": snapshot.path,
        "moment": snapshot.moment,
        "volume": source["volume"],
    }
    size = snapshot.size if snapshot.size is not None else _size(host, found)
    free, needed = shutil.disk_usage(_existing(os.path.dirname(target))).free, int(size * ROOM_FACTOR + ROOM_BYTES)
    if free < needed:
        raise FilesError(
            f"beside {target} {free / 2**30:.2f} GiB are free and the restore needs {needed / 2**30:.2f}; make room"
        )
    return {
        **found,
        "size": size,
        "aside": f"{target}.before-{found['id']}" if here is not None else None,
        "needed": needed,
        "free": free,
        "users": hosts.users_of(target),
    }


def _place(source: Mapping[str, Any], snapshot: Snapshot) -> str:
    """Where a source is, or would be: a volume that is not there is made by the restore."""
    try:
        return hosts.place(source)
    except hosts.Missing:
        return str(source["path"] or snapshot.path)


def _inode(path: str) -> int | None:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


def _existing(folder: str) -> str:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def repository_named(host: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings of a repository."""
    return next(item for item in host["repositories"] if item["name"] == name)


def _size(host: Mapping[str, Any], made: Mapping[str, Any]) -> int:
    """Of a snapshot that does not keep its size."""
    text = restic.must(
        repository_named(host, made["repository"]), "stats", "--json", "--quiet", "--no-lock", made["snapshot"]
    )
    return int(json.loads(text)["total_size"])


def described(made: Mapping[str, Any]) -> list[str]:
    """A plan for people, a line each."""
    users = ", ".join(item["name"] for item in made["users"])
    return [
        f"restore   {made['source']}, as it was at {when(made['moment'])}",
        f"from      {made['repository']}, snapshot {made['snapshot'][:8]}, {made['size'] / 2**20:.1f} MiB",
        f"to        {made['target']} on {made['host']}: "
        + (f"what is there is moved aside to {made['aside']}" if made["aside"] else "there is nothing there"),
        f"stops     {users}, while what is there is exchanged" if users else "stops     no container",
        f"room      {made['needed'] / 2**30:.2f} GiB needed, {made['free'] / 2**30:.2f} GiB free",
        "lost      nothing: what is there stays"
        if made["aside"] is None
        else f"lost      what was changed in it since {when(made['moment'])}; it is in what is moved aside",
        f"confirm   {made['id']}",
    ]


def execute(host: Mapping[str, Any], seen: Sequence[Seen], asked: Wanted, confirmed: str) -> dict[str, Any]:
    """Restore as the plan ``confirmed`` said; the record, which is also kept on the host. Raises FilesError or ResticError."""
    made = plan(host, seen, asked)
    if made["id"] != confirmed:
        raise FilesError(
            f"files_confirm={confirmed} is not the plan, which is {made['id']}: something has changed since, or it is another one's; "
            f"read it, then confirm with -e files_confirm={made['id']}"
        )
    begun = time.time()
    target = str(made["target"])
    if made["volume"] and not asked.to:
        made["target"] = target = hosts.make_volume(made["volume"])
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        # As any directory that is made by hand: who uses the files has to get there.
        mask = os.umask(0o022)
        os.makedirs(folder)
        os.umask(mask)
    staging = os.path.join(folder, f".sluice-files-{made['id']}")
    # Also what a restore that was killed has left: none other runs while this one holds the lock.
    for left in glob.glob(os.path.join(glob.escape(folder), ".sluice-files-*")):
        shutil.rmtree(left)
    os.mkdir(staging, mode=0o700)
    try:
        restic.restore(repository_named(host, made["repository"]), made["snapshot"], staging)
        _exchange(staging + made["path"], target, made["aside"], hosts.users_of(target))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    record = {**made, "begun": begun, "seconds": time.time() - begun, "back": _way_back(made)}
    write_json(RECORD, record)
    return record


def _exchange(restored: str, target: str, aside: str | None, users: Sequence[Mapping[str, str]]) -> None:
    """Put what was restored in the target's place, and that aside, while no container has it open. Raises FilesError."""
    stopped: list[Mapping[str, str]] = []
    try:
        for container in users:
            # Noted before it is asked: a stop that is not known to have worked may have.
            stopped.append(container)
            hosts.stop(container)
        if aside:
            os.rename(target, aside)
        elif os.path.isdir(target):
            # A volume that was just made. One that has files in it by now is not removed.
            os.rmdir(target)
        try:
            os.rename(restored, target)
        except OSError:
            if aside:
                os.rename(aside, target)
            raise
        sync_directory(os.path.dirname(target))
    finally:
        _start(stopped)


def _start(containers: Sequence[Mapping[str, str]]) -> None:
    failed = []
    for container in containers:
        try:
            hosts.start(container)
        except FilesError as error:
            failed.append(str(error))
    if failed:
        raise FilesError("; ".join(failed))


def _way_back(made: Mapping[str, Any]) -> str:
    if not made["aside"]:
        return "(there was nothing before)"
    users = " ".join(item["name"] for item in made["users"])
    stop, start = (f"docker stop {users}; ", f"; docker start {users}") if users else ("", "")
    return f"{stop}mv {made['target']} {made['target']}.left-{made['id']}; mv {made['aside']} {made['target']}{start}"
