# SPDX-License-Identifier: Apache-2.0
"""The repositories of a database host's dumps: what is in them, a dump kept there, and one fetched again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import STATE, USER, backup
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Target
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.dump import catalog
from ansible_collections.sluice.stack.plugins.module_utils.dump.catalog import Dump, Store
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.restic import ResticError
from ansible_collections.sluice.stack.plugins.module_utils.restic_output import Failure

# One at a time: a dump, a restore, a drill. restic refuses to forget while somebody reads.
LOCK = os.path.join(STATE, "backup.lock")
RUNS = os.path.join(STATE, "runs.json")
MANIFEST = "manifest.json"


def stores(host: Mapping[str, Any]) -> list[Store]:
    """What is in the repositories; one that cannot be asked says so in its ``failure``."""
    return [look(repository) for repository in host["repositories"]]


def look(repository: Mapping[str, Any]) -> Store:
    """What is in one repository."""
    try:
        return Store(repository["name"], None, catalog.read(restic.snapshots(repository)))
    except ResticError as error:
        return Store(repository["name"], error.failure, ())


def repositories(host: Mapping[str, Any]) -> list[Repository]:
    """The same, as the status and a release's questions know repositories."""
    return described(stores(host))


def described(seen: list[Store]) -> list[Repository]:
    """Stores as repositories, with the bytes that were stored when something was last kept there."""
    runs = read_json(RUNS, {})
    return [
        catalog.as_repository(number, store, int(runs.get(store.name, {}).get("stored") or 0))
        for number, store in enumerate(seen, start=1)
    ]


def restore_point(host: Mapping[str, Any], name: str, timeout: float) -> dict[str, Any]:
    """Make a dump for the release ``name``; where it is, as {name, system_id, time, dump}. Raises HostError."""
    backup("full", "--point", name, timeout=timeout)
    _unused, dump = catalog.choose(stores(host), Target("point", name, None), "")
    return {"name": name, "system_id": str(dump.system_id), "time": when(dump.begun), "dump": dump.label}


def named(host: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings of a repository."""
    return next(item for item in host["repositories"] if item["name"] == name)


def keep(host: Mapping[str, Any], repository: Mapping[str, Any], dump: Dump) -> tuple[str, int]:
    """Keep a dump, whose files are in its ``path``, and forget what retention does not keep; the snapshot and the bytes stored then.

    Raises ResticError.
    """
    saved, wrong = restic.backup(repository, host["stanza"], catalog.tags(dump), dump.path, ())
    if wrong and saved:
        # Half a dump is none.
        restic.must(repository, "forget", "--quiet", saved.snapshot)
    if wrong or not saved:
        raise ResticError(Failure("other", wrong or "restic made no snapshot and did not say why"))
    try:
        for kind, retention in ((catalog.SCHEDULED, "keep"), (catalog.RELEASE, "keep_releases")):
            policy = {**host[retention], **repository["keep"]} if retention == "keep" else host[retention]
            restic.forget(repository, host["stanza"], [kind], policy, "host")
        return saved.snapshot, restic.prune(repository)
    except ResticError as error:
        message = f"the dump is kept, but old ones stay: {error}"
        raise ResticError(error.failure._replace(message=message)) from error


def manifest(repository: Mapping[str, Any], dump: Dump) -> dict[str, Any]:
    """What is in a dump: ``{version, databases}``, where each database is a row of dump_sql.DATABASES and its ``folder``. Raises ResticError."""
    told = restic.must(repository, "dump", "--quiet", "--no-lock", dump.id, os.path.join(dump.path, MANIFEST))
    found: dict[str, Any] = json.loads(told)
    return found


def fetch(repository: Mapping[str, Any], dump: Dump, folder: str) -> str:
    """Write a dump's files below ``folder``, a new directory, and read them back; where they are. Raises ResticError."""
    private(folder)
    restic.restore(repository, dump.id, folder)
    # The host it was made on may have had another number for the user.
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            shutil.chown(os.path.join(place, name), USER, USER)
    return folder + dump.path


def private(folder: str) -> None:
    """Make a new directory that is the cluster's user's alone, in the place of what a run that was killed has left."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    shutil.chown(folder, USER, USER)
