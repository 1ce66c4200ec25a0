# SPDX-License-Identifier: Apache-2.0
"""A restore drill of dumps: the newest one brought into a scratch cluster beside the live one, looked through, measured and thrown away."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from ansible_collections.sluice.stack.plugins.module_utils import restic
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup import verdict as backup_verdict
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import USER, HostError, as_postgres
from ansible_collections.sluice.stack.plugins.module_utils.backup.verdict import (
    ROOM_BYTES,
    ROOM_FACTOR,
    Broken,
    Prevented,
)
from ansible_collections.sluice.stack.plugins.module_utils.dump import load
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.dump.make import must
from ansible_collections.sluice.stack.plugins.module_utils.files import locked
from ansible_collections.sluice.stack.plugins.module_utils.restic import ResticError
from ansible_collections.sluice.stack.plugins.module_utils.restic_output import Failure

# Of these nobody knows more about the dumps than before.
_UNKNOWN = {"unreachable", "untrusted", "locked", "full"}
# What is stored is read again in so many drills, whatever their number so far: by the week they fall into.
PARTS = 4
WEEK_SECONDS = 7 * 24 * 3600.0
# It is thrown away: nothing of it has to outlive a power cut.
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def run(host: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Restore the newest dump of the repository called ``name``; the record, which is also kept on the host."""
    return backup_verdict.judged(host, name, _try)


def raise_for(failure: Failure, name: str) -> NoReturn:
    """Raise what a repository's failure means for a drill."""
    message = f"{name}: {failure.message}"
    raise Prevented(message) if failure.kind in _UNKNOWN else Broken(message)


def _try(host: Mapping[str, Any], name: str, record: dict[str, Any]) -> None:
    scratch = backup_scratch.at(host, host["drill_directory"])
    with locked(dump_store.LOCK):
        backup_scratch.remove(scratch)
        try:
            _restore(scratch, dump_store.named(host, name), record)
        except ResticError as error:
            raise_for(error.failure, name)
    # A dump has what was there when it began: that is what a loss of the host would have cost when the drill began.
    backup_verdict.measure_loss(scratch, record, record["begun"])
    limit = host["drill_max_rpo_seconds"]
    if record["rpo_seconds"] > limit:
        raise Broken(
            f"the restored data ends {record['rpo_seconds'] / 3600:.1f} h before the drill, more than {limit / 3600:.1f} h "
            "(backup_max_age_hours): dumps are not made in time, or the heartbeat stood still"
        )
    backup_verdict.look_through(scratch, record)


def _restore(scratch: Mapping[str, Any], repository: Mapping[str, Any], record: dict[str, Any]) -> None:
    name, folder = repository["name"], scratch["socket"]
    store = dump_store.look(repository)
    if store.failure:
        raise_for(store.failure, name)
    dump = store.newest
    if dump is None:
        raise Broken(f"{name}: it holds no backup")
    record |= {"backup": dump.label, "size": dump.bytes}
    backup_verdict.require_disk_space(folder, int(dump.bytes * ROOM_FACTOR + dump.size + ROOM_BYTES))
    os.makedirs(folder, mode=0o700)
    shutil.chown(folder, USER, USER)
    files = dump_store.fetch(repository, dump, os.path.join(folder, "dump"))
    databases = dump_store.manifest(repository, dump)["databases"]
    _server(scratch)
    try:
        load.roles(scratch, files)
        for entry in databases:
            # The scratch cluster has one of this name, which is empty.
            make = entry["name"] != "postgres"
            load.database(scratch, files, entry, entry["name"], make, scratch["drill_seconds"])
    except HostError as error:
        raise Broken(f"{name}: dump {dump.label} cannot be restored: {error}") from error
    record["rto_seconds"] = time.time() - record["begun"]
    part = int(record["begun"] // WEEK_SECONDS) % PARTS + 1
    restic.check(repository, part, PARTS)


def _server(scratch: Mapping[str, Any]) -> None:
    """Make the scratch cluster and start it. Raises Prevented or HostError."""
    words = ["--username", USER, "--auth", "peer", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
    program = f"/usr/lib/postgresql/{scratch['version']}/bin/initdb"
    must(as_postgres([program, "--pgdata", scratch["data"], *words], 600), "the scratch cluster")
    try:
        backup_scratch.start(scratch, scratch["drill_seconds"], _FAST, "select not pg_is_in_recovery()")
    except backup_scratch.RecoveryFailed as error:
        raise Prevented(f"the scratch server did not start: {error}") from error
