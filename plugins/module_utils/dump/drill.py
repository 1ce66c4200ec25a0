# SPDX-License-Identifier: Apache-2.0
"""A restore drill of dumps: the newest one loaded into a new scratch cluster, and a part of what is stored read again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, restic
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.drill import Broken
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import USER, HostError, as_postgres
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure, RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.dump import load
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.dump.make import must
from ansible_collections.sluice.stack.plugins.module_utils.files import locked

# What is stored is read again in so many drills, whatever their number so far: by the week they are in.
PARTS = 4
WEEK_SECONDS = 7 * 24 * 3600.0
# It is thrown away: nothing of it has to survive a power cut.
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
Host = Mapping[str, Any]


def trial(host: Host, name: str, record: dict[str, Any]) -> None:
    """Load the newest dump of the repository ``name`` and check it. Raises Broken, RepositoryError or HostError."""
    scratch = backup_scratch.at(host, host["drill_directory"])
    with locked(dump_store.LOCK):
        backup_scratch.remove(scratch)
        _restore(scratch, dump_store.named(host, name), record)
    # A dump has what was there when it began: that is what a loss of the host would have cost when the drill began.
    drill.check(scratch, record, record["begun"], "backup_max_age_hours")


def _restore(scratch: Host, repository: Host, record: dict[str, Any]) -> None:
    name, folder = repository["name"], scratch["socket"]
    store = dump_store.look(repository)
    dump = store.newest
    if store.failure or dump is None:
        raise RepositoryError(store.failure or Failure("absent", "it holds no backup"))
    record |= {"backup": dump.label, "size": dump.size}
    backup_scratch.require_space(folder, (dump.size or 0) + dump.stored)
    os.makedirs(folder, mode=0o700)
    shutil.chown(folder, USER, USER)
    files = dump_store.fetch(repository, dump, os.path.join(folder, "dump"))
    databases = dump_store.manifest(repository, dump)["databases"]
    words = ["--username", USER, "--auth", "peer", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
    initdb = f"/usr/lib/postgresql/{scratch['version']}/bin/initdb"
    must(as_postgres([initdb, "--pgdata", scratch["data"], *words], 600), "the scratch cluster")
    backup_scratch.start(scratch, scratch["drill_seconds"], _FAST, "select not pg_is_in_recovery()")
    try:
        load.roles(scratch, files)
        for entry in databases:
            # The scratch cluster has one of this name, which is empty.
            make = entry["name"] != "postgres"
            load.database(scratch, files, entry, entry["name"], make, scratch["drill_seconds"])
    except HostError as error:
        raise Broken(f"{name}: dump {dump.label} cannot be restored: {error}") from error
    record["rto_seconds"] = time.time() - record["begun"]
    restic.check(repository, int(record["begun"] // WEEK_SECONDS) % PARTS + 1, PARTS)
