# SPDX-License-Identifier: Apache-2.0
"""A restore of files: planned from what the repositories and the host say, and executed only as planned."""

from __future__ import annotations

import argparse
import glob
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import restic, restore_plan
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, require_space
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Refused
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import moment_of, when
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.file_backup.host import STATE
from ansible_collections.sluice.stack.plugins.module_utils.files import sync_directory, write_json

RECORD = os.path.join(STATE, "restore.json")
SPACE_FACTOR, SPACE_BYTES = 1.05, 64 * 2**20
Host = Mapping[str, Any]


def check(asked: argparse.Namespace) -> float | None:
    """Check what was asked for: the moment in epoch seconds, None without one. Raises Refused."""
    if asked.snapshot and asked.time:
        raise Refused("both a snapshot and a time are named; name one")
    if asked.to and (not os.path.isabs(asked.to) or os.path.normpath(asked.to) != asked.to):
        raise Refused(f"{asked.to} is no absolute path of a directory")
    try:
        return moment_of(asked.time) if asked.time else None
    except ValueError as error:
        raise Refused(str(error)) from error


def plan(host: Host, repositories: Sequence[Repository], asked: argparse.Namespace) -> dict[str, Any]:
    """Plan a restore; nothing is changed. Raises HostError."""
    moment = check(asked)
    source = hosts.source_named(host, asked.source)
    what = (
        f"snapshot {asked.snapshot}".strip()
        + f" of {source['name']}"
        + (f" of {when(moment)} or before" if moment else "")
    )
    repository, snapshot = restore_plan.choose(
        [item.of(source["name"]) for item in repositories],
        asked.repository,
        lambda item: (moment is None or item.ended <= moment) and item.id.startswith(asked.snapshot),
        what,
    )
    target = asked.to or _place(source, snapshot)
    current = _inode(target)
    if asked.to and current is not None:
        raise Refused(f"{target} exists: name a directory that does not exist yet")
    if os.path.ismount(target):
        raise Refused(
            f"{target} is a mount point, which cannot be moved aside: restore to another directory on it (files_to)"
        )
    facts = {
        "host": host["name"],
        "source": source["name"],
        "repository": repository.name,
        "snapshot": snapshot.id,
        "target": target,
        "current": current,
    }
    identity = restore_plan.identity(facts)
    size = snapshot.size if snapshot.size is not None else _size(named(host, repository.name), snapshot.id)
    return {
        **facts,
        "id": identity,
        "summary": f"{source['name']}, as it was at {when(snapshot.ended)}",
        "path": snapshot.path,
        "moment": snapshot.ended,
        "volume": "" if asked.to else source["volume"],
        "size": size,
        "aside": f"{target}.before-{identity}" if current is not None else None,
        "space": [require_space(os.path.dirname(target), int(size * SPACE_FACTOR + SPACE_BYTES), "the restore")],
        "users": hosts.users_of(target),
        "lost": "nothing: there is nothing in its place"
        if current is None
        else f"what was changed in it since {when(snapshot.ended)}; it is in what is moved aside",
    }


def _place(source: Mapping[str, Any], snapshot: Backup) -> str:
    """Where a source is, or would be: the restore creates a volume that does not exist."""
    try:
        return hosts.place(source)
    except hosts.Missing:
        return str(source["path"] or snapshot.path)


def _inode(path: str) -> int | None:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


def named(host: Host, name: str) -> Host:
    """Return the settings of a repository."""
    found: Host = next(item for item in host["repositories"] if item["name"] == name)
    return found


def _size(repository: Host, snapshot: str) -> int:
    """The bytes of a snapshot that does not keep its size."""
    return int(json.loads(restic.must(repository, "stats", "--json", "--quiet", "--no-lock", snapshot))["total_size"])


def described(made: Mapping[str, Any]) -> list[str]:
    """Return a plan for people, a line each."""
    users = ", ".join(item["name"] for item in made["users"])
    place = f"what is there is moved aside to {made['aside']}" if made["aside"] else "there is nothing there"
    return restore_plan.described(
        made,
        f"{made['repository']}, snapshot {made['snapshot'][:8]}, {made['size'] / 2**20:.1f} MiB",
        f"{made['target']} on {made['host']}: {place}",
        f"stops     {users}, while files are exchanged" if users else "stops     no container",
    )


def execute(host: Host, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Execute a plan; the record, which is also kept on the host. Raises HostError."""
    begun = time.time()
    made, target = dict(plan), str(plan["target"])
    if made["volume"]:
        made["target"] = target = hosts.make_volume(made["volume"])
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        # As any directory that is made by hand: who uses the files has to reach them.
        mask = os.umask(0o022)
        os.makedirs(folder)
        os.umask(mask)
    staging = os.path.join(folder, f".sluice-files-{made['id']}")
    # Also what a restore that was killed has left: none other runs while this one holds the lock.
    for left in glob.glob(os.path.join(glob.escape(folder), ".sluice-files-*")):
        shutil.rmtree(left)
    os.mkdir(staging, mode=0o700)
    try:
        restic.restore(named(host, made["repository"]), made["snapshot"], staging)
        _exchange(staging + made["path"], target, made["aside"], hosts.users_of(target))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    record = {**made, "begun": begun, "seconds": time.time() - begun, "revert": _revert(made)}
    write_json(RECORD, record)
    line = f"restored {made['source']} to {target} as it was at {when(made['moment'])}, in {record['seconds']:.1f} s"
    return {**record, "lines": [line]}


def _exchange(restored: str, target: str, aside: str | None, users: Sequence[Mapping[str, str]]) -> None:
    """Put what was restored in the target's place, and that aside, while no container has it open. Raises HostError."""
    stopped: list[Mapping[str, str]] = []
    try:
        for container in users:
            # Noted first: a stop that is not known to have worked may have.
            stopped.append(container)
            hosts.stop(container)
        if aside:
            os.rename(target, aside)
        elif os.path.isdir(target):
            # A volume that was just created. One that has files in it by now is not removed.
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
        except HostError as error:
            failed.append(str(error))
    if failed:
        raise HostError("; ".join(failed))


def _revert(made: Mapping[str, Any]) -> str:
    if not made["aside"]:
        return "(there was nothing before)"
    users = " ".join(item["name"] for item in made["users"])
    stop, start = (f"docker stop {users}; ", f"; docker start {users}") if users else ("", "")
    return f"{stop}mv {made['target']} {made['target']}.left-{made['id']}; mv {made['aside']} {made['target']}{start}"
