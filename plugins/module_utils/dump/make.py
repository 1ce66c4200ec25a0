# SPDX-License-Identifier: Apache-2.0
"""A dump of every database and of the roles, made into a private directory, and kept in every repository when it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STATE,
    Done,
    HostError,
    as_postgres,
    connection,
    free_bytes,
    sql,
)
from ansible_collections.sluice.stack.plugins.module_utils.dump import sql as dump_sql
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.dump.catalog import Dump
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.restic import ResticError

DUMP_SECONDS = 24 * 3600.0
RESTORED = os.path.join(STATE, "restore.json")
SYSTEM = "select system_identifier from pg_control_system()"
# A dump has no indexes, and its values are not compressed: mostly smaller than the database, at times larger.
ROOM_FACTOR, ROOM_BYTES = 1.2, 512 * 2**20
# What a dump leaves free, how often that is looked at, and how its sessions are known.
LEAST_BYTES = 256 * 2**20
LOOK_SECONDS = 0.1
SESSIONS = "sluice-dump"
END = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'sluice-dump'"


def run(host: Mapping[str, Any], only: Sequence[str] | None = None, release: str = "") -> dict[str, Any]:
    """Dump, and keep the dump in every repository or those named; the result of each, which is also kept.

    A repository that fails does not keep the next from its own. ``release`` is what it is made for.
    """
    results: dict[str, Any] = {}
    with locked(dump_store.LOCK):
        runs = read_json(dump_store.RUNS, {})
        begun = time.time()
        wanted = [item for item in host["repositories"] if only is None or item["name"] in only]
        with _staged(host) as folder:
            dump, message = None, ""
            try:
                dump = make(host, folder, release)
            except HostError as error:
                message = str(error)
            for repository in wanted:
                name = repository["name"]
                result = {"kind": "full", "begun": begun, "snapshot": "", "stored": runs.get(name, {}).get("stored")}
                if dump:
                    message = _to(host, repository, dump, result)
                results[name] = {**result, "ok": not message, "message": message, "ended": time.time()}
                runs[name] = results[name]
                write_json(dump_store.RUNS, runs)
    return results


@contextlib.contextmanager
def _staged(host: Mapping[str, Any]) -> Iterator[str]:
    """A private directory for a dump's files, which has the same name each time and is removed in any case."""
    folder = os.path.join(host["staging"], "dump")
    dump_store.private(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _to(host: Mapping[str, Any], repository: Mapping[str, Any], dump: Dump, result: dict[str, Any]) -> str:
    """Keep the dump in a repository; what is wrong, empty when nothing is."""
    try:
        restic.free(repository)
        store = dump_store.look(repository)
        if store.failure:
            return store.failure.message
        if store.newest:
            refuse_foreign(host, store.newest)
        result["snapshot"], result["stored"] = dump_store.keep(host, repository, dump)
    except (ResticError, HostError) as error:
        return str(error)
    return ""


def refuse_foreign(host: Mapping[str, Any], newest: Dump) -> None:
    """Raise HostError where the dumps in a repository are another cluster's."""
    system = int(sql(host, SYSTEM))
    if foreign(newest, system, read_json(RESTORED)):
        raise HostError(
            f"it holds the dumps of another cluster (system {newest.system_id}) under this name, and the one here (system {system}) adds nothing to them. "
            "To restore them here: ansible-playbook playbooks/backup/restore.yml. A cluster that shall begin a history of its own needs another backup_stanza"
        )


def foreign(newest: Dump, system: int, restored: Mapping[str, Any] | None) -> bool:
    """Whether a cluster must not add to the history that ends with ``newest``: it is another one's, and was not restored here since."""
    here = restored is not None and restored["new_system_id"] == system and restored["begun"] > newest.begun
    return newest.system_id != system and not here


def make(host: Mapping[str, Any], folder: str, release: str) -> Dump:
    """Dump every database into ``folder``. Raises HostError; then what is in it is worth nothing."""
    databases = json.loads(sql(host, dump_sql.DATABASES))
    system = int(sql(host, SYSTEM))
    total = sum(item["bytes"] for item in databases)
    require_disk_space(folder, total)
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
    return Dump("", begun, ended, total, bytes_in(folder), system, release, folder)


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
            f"database {name}: its dump is larger than expected and was stopped before {os.path.dirname(target)} was full; make room, or set "
            "backup_staging_directory to a larger file system"
        )
    must(dumping.result(), f"database {name}")


def require_disk_space(folder: str, total: int) -> None:
    """Raise HostError unless there is room for a dump of databases of ``total`` bytes."""
    needed, free = int(total * ROOM_FACTOR + ROOM_BYTES), free_bytes(folder)
    if free < needed:
        raise HostError(
            f"{os.path.dirname(folder)} has {free / 2**30:.1f} GiB free and the dump needs {needed / 2**30:.1f}; make room, or set "
            "backup_staging_directory to a larger file system"
        )


def program(host: Mapping[str, Any], name: str) -> list[str]:
    """A program of the server's own release, with the way to the server."""
    return [f"/usr/lib/postgresql/{host['version']}/bin/{name}", "--host", host["socket"], "--port", str(host["port"])]


def must(done: Done, what: str) -> str:
    """What a program printed. Raises HostError with what it says is wrong."""
    if done.code:
        lines = [line for line in done.err.splitlines() if "error:" in line] or done.said.splitlines()[-1:]
        raise HostError(f"{what}: {(lines or [f'it ended with {done.code} and said nothing'])[0]}")
    return done.out


def bytes_in(folder: str) -> int:
    """The bytes of all files below a directory."""
    return sum(
        os.lstat(os.path.join(place, name)).st_size for place, _unused, files in os.walk(folder) for name in files
    )
