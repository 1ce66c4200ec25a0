# SPDX-License-Identifier: Apache-2.0
"""A restore of dumps: databases loaded alongside the live ones, and exchanged with them by their names in one transaction.

See docs/decisions/0017-restic-for-files-and-dumps.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import engine, restore_plan, write_lock
from ansible_collections.sluice.stack.plugins.module_utils.backup.drill import last_heartbeat
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, existing, require_space, sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Refused
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.dump import load
from ansible_collections.sluice.stack.plugins.module_utils.dump import sql as dump_sql
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.dump.make import RESTORED, SYSTEM
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json

RESTORE_SECONDS = 48 * 3600.0
SPACE_FACTOR, SPACE_BYTES = 1.2, 256 * 2**20
# How long the renames may wait for sessions to end, and how often these are ended.
EXCHANGE_SECONDS = 120.0
END_SECONDS = 0.1
NAMES = "select coalesce(json_object_agg(datname, oid::int8), '{}') from pg_database"
LEFT = "select coalesce(json_agg(datname), '[]') from pg_database where datname ~ '_restored_[0-9a-f]{10}$'"
Host = Mapping[str, Any]


def plan(host: Host, asked: argparse.Namespace) -> dict[str, Any]:
    """Plan a restore; nothing is changed. Raises HostError."""
    if asked.timeline:
        engine.require(engine.engine(host["engine"]), "restore_to_time", "restore_timeline")
    target = restore_plan.target(asked.time, asked.point, time.time())
    store, dump = dump_store.choose(host, target, asked.repository)
    databases = dump_store.manifest(dump_store.named(host, store.name), dump)["databases"]
    present: dict[str, int] = json.loads(sql(host, NAMES, load.MAINTENANCE))
    names = [item["name"] for item in databases]
    facts = {
        "host": socket.gethostname(),
        "stanza": host["stanza"],
        "kind": target.kind,
        "value": target.value,
        "repository": store.name,
        "snapshot": dump.id,
        "current": {item: present.get(item) for item in names},
        # What earlier restores have left: after a revert of this very restore the id is another one.
        "alongside": sorted(item for item in present if dump_sql.is_alongside(item)),
    }
    found = {
        **facts,
        "id": restore_plan.identity(facts),
        "summary": f"the databases from the dump {dump_store.summary(target) or 'that is the newest'}",
        "begun": dump.begun,
        "ended": dump.ended,
        "release": dump.release,
        "size": dump.size,
        "databases": databases,
        "unchanged": sorted(
            item["name"] for item in json.loads(sql(host, dump_sql.DATABASES)) if item["name"] not in names
        ),
        "lost": f"all changes of the last {(time.time() - dump.begun) / 60:.1f} minutes: since {when(dump.begun)}",
    }
    return {**found, "moves": moves(found), "space": _space(host, dump)}


def moves(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The renames that put what was restored into the live databases' place, in their order."""
    found = []
    for name, there in made["current"].items():
        if there is not None:
            found.append((name, dump_sql.alongside(name, "before", made["id"])))
        found.append((dump_sql.alongside(name, "restored", made["id"]), name))
    return found


def moves_back(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The renames that revert a restore, in their order."""
    found = []
    for name, there in made["current"].items():
        found.append((name, dump_sql.alongside(name, "left", made["id"])))
        if there is not None:
            found.append((dump_sql.alongside(name, "before", made["id"]), name))
    return found


def _space(host: Host, dump: Backup) -> list[dict[str, Any]]:
    """The space for the dump's files, and for the databases; one place where both are on one file system. Raises HostError."""
    files, data = host["staging"], os.path.dirname(host["data"])
    needed = {files: dump.stored + SPACE_BYTES, data: int((dump.size or 0) * SPACE_FACTOR + SPACE_BYTES)}
    if os.stat(existing(files)).st_dev == os.stat(existing(data)).st_dev:
        needed = {data: needed[data] + dump.stored}
    return [require_space(folder, size, "the restore") for folder, size in needed.items()]


def described(made: Mapping[str, Any]) -> list[str]:
    """Return a plan for people, a line each."""
    kept = [f"{name} is kept as {new}" for name, new in made["moves"] if made["current"].get(name) is not None]
    release = f", made before release {made['release']}" if made["release"] else ""
    return restore_plan.described(
        made,
        f"{made['repository']}, dump {made['snapshot'][:8]} of {when(made['begun'])}{release}, {made['size'] / 2**20:.1f} MiB",
        f"databases {', '.join(made['current'])} on {made['host']}, alongside the live ones and then in their place: "
        + ("; ".join(kept) or "none of them exists"),
        *(f"keeps     {name} is not in the dump, and is not changed" for name in made["unchanged"]),
        "keeps     the server's settings, its tablespaces, and roles that exist: a dump changes none of them",
    )


def execute(host: Host, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Execute a plan; the record, which is also kept on the host. Raises HostError."""
    made = dict(plan)
    # A backup or drill that runs would be waited for.
    write_lock.stop_jobs()
    with locked(dump_store.LOCK):
        begun = time.time()
        folder = os.path.join(host["staging"], "restore")
        try:
            _remove_restored(host)
            repository = dump_store.named(host, made["repository"])
            store = dump_store.look(repository)
            dump = next((item for item in store.backups if item.id == made["snapshot"]), None)
            if dump is None:
                raise RepositoryError(
                    store.failure or Failure("absent", f"dump {made['snapshot'][:8]} is not there any more")
                )
            files = dump_store.fetch(repository, dump, folder)
            roles = load.roles(host, files)
            for entry in made["databases"]:
                name = dump_sql.alongside(entry["name"], "restored", made["id"])
                load.database(host, files, entry, name, make=True, seconds=RESTORE_SECONDS)
            properties = "\n".join(load.properties(host, files, entry) for entry in made["databases"])
            # Known before it is done: a run that is killed now leaves a revert, or nothing to revert.
            kept = [new for old, new in made["moves"] if made["current"].get(old) is not None]
            revert = f"sluice-backup revert --restore {made['id']} && sluice-backup full"
            record = {**made, "aside": ", ".join(kept), "revert": revert, "new_system_id": 0}
            write_json(RESTORED, record)
            seconds = exchange(host, made["moves"], properties)
        except BaseException:
            with contextlib.suppress(HostError):
                _remove_restored(host)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        record |= {
            "seconds": time.time() - begun,
            "begun": begun,
            "moment": made["begun"],
            "downtime_seconds": seconds,
            "roles_made": roles.made,
            "roles_kept": roles.kept,
            "new_system_id": int(sql(host, SYSTEM)),
            "heartbeat": last_heartbeat(host),
        }
        write_json(RESTORED, record)
        return {
            **record,
            "lines": [
                f"restored dump {made['snapshot'][:8]} of {when(made['begun'])} in {record['seconds']:.1f} s; the databases were unavailable for "
                f"{seconds:.1f} s",
                f"roles: {', '.join(roles.made) or 'none'} created; {', '.join(roles.kept) or 'none'} not changed",
            ],
        }


def revert(host: Host, restore: str) -> dict[str, Any]:
    """Put the data from before the last restore in place again; its record. Raises Refused or HostError."""
    with locked(dump_store.LOCK):
        record: dict[str, Any] | None = read_json(RESTORED)
        if record is None or record["id"] != restore:
            known = f"the last one was {record['id']}" if record else "none was done here"
            raise Refused(f"there is no restore {restore} to revert: {known}")
        wanted = moves_back(record)
        present = json.loads(sql(host, NAMES, load.MAINTENANCE))
        gone = [old for old, _unused in wanted if old not in present and old not in {new for _unused, new in wanted}]
        if gone:
            raise Refused(f"{', '.join(gone)} does not exist any more, so restore {restore} cannot be reverted")
        record["downtime_seconds"] = exchange(host, wanted)
        return record


def exchange(host: Host, wanted: Sequence[tuple[str, str]], more: str = "") -> float:
    """Rename databases in one transaction, while the sessions in them are ended; how long that took. Raises HostError.

    A newcomer waits for the first rename that has its database, and finds the other one when all are done: there is no moment at which a
    client gets in between, and none at which a run that is killed leaves a part of it.
    """
    begun = time.time()
    script = dump_sql.exchange(wanted, more)
    ending = dump_sql.end_sessions({name for pair in wanted for name in pair})
    with ThreadPoolExecutor(max_workers=1) as pool:
        renaming = pool.submit(sql, host, script, load.MAINTENANCE, EXCHANGE_SECONDS)
        while not wait([renaming], timeout=END_SECONDS).done:
            sql(host, ending, load.MAINTENANCE)
        try:
            renaming.result()
        except HostError as error:
            raise HostError(f"the databases were not exchanged, and are as they were: {error}") from error
    return time.time() - begun


def _remove_restored(host: Host) -> None:
    """Remove restored databases that were not exchanged, also those of a run that was killed."""
    for name in json.loads(sql(host, LEFT, load.MAINTENANCE)):
        sql(host, dump_sql.drop(name), load.MAINTENANCE, RESTORE_SECONDS)
