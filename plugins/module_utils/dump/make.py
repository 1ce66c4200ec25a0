# SPDX-License-Identifier: Apache-2.0
"""A dump of every database and of the roles, into a private directory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STATE,
    Done,
    HostError,
    as_postgres,
    connection,
    free_bytes,
    require_space,
    sql,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup
from ansible_collections.sluice.stack.plugins.module_utils.dump import sql as dump_sql
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_json

DUMP_SECONDS = 24 * 3600.0
RESTORED = os.path.join(STATE, "restore.json")
SYSTEM = "select system_identifier from pg_control_system()"
# A dump has no indexes, and its values are not compressed: mostly smaller than the database, at times larger.
SPACE_FACTOR, SPACE_BYTES = 1.2, 512 * 2**20
# What a dump leaves free, how often that is looked at, and how its sessions are known.
LEAST_BYTES = 256 * 2**20
LOOK_SECONDS = 0.1
SESSIONS = "sluice-dump"
END = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'sluice-dump'"


@contextlib.contextmanager
def staged(host: Mapping[str, Any]) -> Iterator[str]:
    """A private directory for a dump's files, which has the same name each time and is removed in any case."""
    folder = os.path.join(host["staging"], "dump")
    dump_store.private(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_foreign(host: Mapping[str, Any], newest: Backup) -> None:
    """Raise HostError where the dumps in a repository are another cluster's."""
    system = int(sql(host, SYSTEM))
    if foreign(newest, system, read_json(RESTORED)):
        raise HostError(
            f"it holds the dumps of another cluster (system {newest.system_id}) under this name, and the one here (system {system}) adds nothing to them. "
            "To restore them here: ansible-playbook playbooks/backup/restore.yml. A cluster with a history of its own needs another backup_stanza"
        )


def foreign(newest: Backup, system: int, restored: Mapping[str, Any] | None) -> bool:
    """Whether a cluster must not add to the history that ends with ``newest``: it is another one's, and was not restored here since."""
    here = restored is not None and restored["new_system_id"] == system and restored["begun"] > newest.begun
    return newest.system_id != system and not here


def make(host: Mapping[str, Any], folder: str, release: str) -> Backup:
    """Dump every database into ``folder``. Raises HostError; then what is in it is worth nothing."""
    databases = json.loads(sql(host, dump_sql.DATABASES))
    system = int(sql(host, SYSTEM))
    total = sum(item["bytes"] for item in databases)
    advice = "make space, or set backup_staging_directory to a larger file system"
    require_space(os.path.dirname(folder), int(total * SPACE_FACTOR + SPACE_BYTES), "the dump", advice)
    begun = time.time()
    must(
        as_postgres(
            [*program(host, "pg_dumpall"), "--globals-only", "--no-tablespaces", "--file", f"{folder}/globals.sql"]
        ),
        "the roles",
    )
    for number, database in enumerate(databases):
        database |= {"folder": str(number), "begun": time.time()}
        _dump(host, database["name"], os.path.join(folder, str(number)))
    ended = time.time()
    version = sql(host, "show server_version")
    write_json(os.path.join(folder, dump_store.MANIFEST), {"version": version, "databases": databases})
    size = bytes_in(folder)
    return Backup("", "full", begun, ended, total, size, system_id=system, path=folder, release=release)


def _dump(host: Mapping[str, Any], name: str, target: str) -> None:
    """Dump a database; stopped before the file system it goes to is full, which may be the server's own. Raises HostError."""
    words = [
        *program(host, "pg_dump"),
        *("--format=directory", "--compress=0", "--no-sync", f"--jobs={host['jobs']}", f"--file={target}"),
        *("--dbname", f"{connection(name)} application_name={SESSIONS}"),
    ]
    full = False
    with ThreadPoolExecutor(max_workers=1) as pool:
        dumping = pool.submit(as_postgres, words, DUMP_SECONDS)
        while not wait([dumping], timeout=LOOK_SECONDS).done:
            if free_bytes(target) < LEAST_BYTES:
                full = True
                sql(host, END)
    if full:
        raise HostError(
            f"database {name}: its dump is larger than expected and was stopped before {os.path.dirname(target)} was full; make space, or set "
            "backup_staging_directory to a larger file system"
        )
    must(dumping.result(), f"database {name}")


def program(host: Mapping[str, Any], name: str) -> list[str]:
    """Return the call of a program of the server's own release, with the address of the server."""
    return [f"/usr/lib/postgresql/{host['version']}/bin/{name}", "--host", host["socket"], "--port", str(host["port"])]


def must(done: Done, what: str) -> str:
    """Return what a program printed. Raises HostError with its error."""
    if done.code:
        lines = [line for line in done.err.splitlines() if "error:" in line] or done.output.splitlines()[-1:]
        raise HostError(f"{what}: {(lines or [f'it ended with {done.code} and printed nothing'])[0]}")
    return done.out


def bytes_in(folder: str) -> int:
    """The bytes of all files below a directory."""
    return sum(
        os.lstat(os.path.join(place, name)).st_size for place, _unused, files in os.walk(folder) for name in files
    )
