# SPDX-License-Identifier: Apache-2.0
"""A restore of dumps: databases brought up beside the live ones, and exchanged with them by their names in one transaction.

See docs/decisions/0017-restic-for-files-and-dumps.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import closed as backup_closed
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, free_bytes, sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Refused, Target, identity
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.dump import catalog, load
from ansible_collections.sluice.stack.plugins.module_utils.dump import sql as dump_sql
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.dump.make import RESTORED, SYSTEM
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json

RESTORE_SECONDS = 48 * 3600.0
ROOM_FACTOR, ROOM_BYTES = 1.2, 256 * 2**20
# How long the renames may wait for sessions to end, and how often these are told to.
EXCHANGE_SECONDS = 120.0
END_SECONDS = 0.1
NAMES = "select coalesce(json_object_agg(datname, oid::int8), '{}') from pg_database"
LEFT = "select coalesce(json_agg(datname), '[]') from pg_database where datname ~ '_restored_[0-9a-f]{10}$'"
BEAT = "select extract(epoch from beat) from sluice.heartbeat"


def plan(host: Mapping[str, Any], wanted: Target, name: str) -> dict[str, Any]:
    """What would be done now. Raises Refused, HostError or ResticError."""
    now = time.time()
    store, dump = catalog.choose(dump_store.stores(host), wanted, name)
    databases = dump_store.manifest(dump_store.named(host, store.name), dump)["databases"]
    here: dict[str, int] = json.loads(sql(host, NAMES, load.MAINTENANCE))
    names = [item["name"] for item in databases]
    facts = {
        "host": socket.gethostname(),
        "stanza": host["stanza"],
        "kind": wanted.kind,
        "value": wanted.value,
        "repository": store.name,
        "snapshot": dump.id,
        "here": {item: here.get(item) for item in names},
        # What earlier restores have left: whoever has gone back from this very restore gets another id.
        "beside": sorted(item for item in here if dump_sql.is_alongside(item)),
    }
    found = {
        **facts,
        "id": identity(facts),
        "words": catalog.words(wanted),
        "begun": dump.begun,
        "ended": dump.ended,
        "release": dump.release,
        "size": dump.bytes,
        "databases": databases,
        "stay": sorted(item["name"] for item in json.loads(sql(host, dump_sql.DATABASES)) if item["name"] not in names),
        "lost": f"all changes of the last {(now - dump.begun) / 60:.1f} minutes: since {when(dump.begun)}",
    }
    return {**found, "moves": moves(found), "rooms": _rooms(host, dump)}


def moves(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The renames that put what was restored into the live databases' place, in their order."""
    found = []
    for name, there in made["here"].items():
        if there is not None:
            found.append((name, dump_sql.beside(name, "before", made["id"])))
        found.append((dump_sql.beside(name, "restored", made["id"]), name))
    return found


def back(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The renames that go back to what was there before a restore, in their order."""
    found = []
    for name, there in made["here"].items():
        found.append((name, dump_sql.beside(name, "left", made["id"])))
        if there is not None:
            found.append((dump_sql.beside(name, "before", made["id"]), name))
    return found


def _rooms(host: Mapping[str, Any], dump: catalog.Dump) -> list[dict[str, Any]]:
    """Where a restore needs room: for the dump's files, and for the databases; one place where both are on one file system. Raises Refused."""
    files = {"folder": host["staging"], "needed": dump.size + ROOM_BYTES}
    data = {"folder": os.path.dirname(host["data"]), "needed": int(dump.bytes * ROOM_FACTOR + ROOM_BYTES)}
    if _device(files["folder"]) == _device(data["folder"]):
        data["needed"] += dump.size
        files = data
    rooms = [data] if files is data else [files, data]
    for item in rooms:
        item["free"] = free_bytes(item["folder"])
        if item["free"] < item["needed"]:
            raise Refused(
                f"{item['folder']} has {item['free'] / 2**30:.1f} GiB free and the restore needs {item['needed'] / 2**30:.1f} beside what is "
                "there, which is kept; make room"
            )
    return rooms


def _device(folder: str) -> int:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return os.stat(folder).st_dev


def described(made: Mapping[str, Any]) -> list[str]:
    """A plan for people, a line each."""
    kept = [f"{name} is kept as {new}" for name, new in made["moves"] if made["here"].get(name) is not None]
    release = f", made before release {made['release']}" if made["release"] else ""
    names = ", ".join(made["here"])
    return [
        f"restore   {made['words']}",
        f"from      {made['repository']}, dump {made['snapshot'][:8]} of {when(made['begun'])}{release}, {made['size'] / 2**20:.1f} MiB",
        f"to        databases {names} on {made['host']}, beside the live ones and then in their place: {'; '.join(kept) or 'none of them is there'}",
        *(f"stay      {name} is not in the dump, and stays as it is" for name in made["stay"]),
        "stay      the server's settings, its tablespaces, and roles that are there already: a dump changes none of them",
        *(
            f"room      {item['needed'] / 2**30:.1f} GiB needed in {item['folder']}, {item['free'] / 2**30:.1f} GiB free"
            for item in made["rooms"]
        ),
        f"lost      {made['lost']}",
        f"confirm   {made['id']}",
    ]


def execute(host: Mapping[str, Any], wanted: Target, name: str, confirmed: str) -> dict[str, Any]:
    """Restore as the plan ``confirmed`` said; the record, which is also kept on the host. Raises Refused, HostError or ResticError."""
    made = plan(host, wanted, name)
    if made["id"] != confirmed:
        raise Refused(
            f"restore_confirm={confirmed} is not the plan, which is {made['id']}: something has changed since, or it is another one's; "
            f"read it, then confirm with -e restore_confirm={made['id']}"
        )
    # What would be waited for.
    backup_closed.stop_jobs()
    with locked(dump_store.LOCK):
        begun = time.time()
        folder = os.path.join(host["staging"], "restore")
        try:
            _remove_restored(host)
            repository = dump_store.named(host, made["repository"])
            dump = next(item for item in dump_store.look(repository).dumps if item.id == made["snapshot"])
            files = dump_store.fetch(repository, dump, folder)
            roles = load.roles(host, files)
            for entry in made["databases"]:
                beside = dump_sql.beside(entry["name"], "restored", made["id"])
                load.database(host, files, entry, beside, make=True, seconds=RESTORE_SECONDS)
            properties = "\n".join(load.properties(host, files, entry) for entry in made["databases"])
            # Known before it is done: a run that is killed now leaves a way back, or nothing to go back from.
            record = {
                **made,
                "back": f"sluice-backup back --restore {made['id']} && sluice-backup full",
                "new_system_id": 0,
            }
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
            "away_seconds": seconds,
            "roles_made": roles.made,
            "roles_kept": roles.kept,
            "new_system_id": int(sql(host, SYSTEM)),
            "beat": _beat(host),
        }
        write_json(RESTORED, record)
        return record


def go_back(host: Mapping[str, Any], restore: str) -> dict[str, Any]:
    """Put what was there before the last restore in place again; its record. Raises Refused or HostError."""
    with locked(dump_store.LOCK):
        record: dict[str, Any] | None = read_json(RESTORED)
        if record is None or record["id"] != restore:
            known = f"the last one was {record['id']}" if record else "none was done here"
            raise Refused(f"there is no restore {restore} to go back from: {known}")
        wanted = back(record)
        here = json.loads(sql(host, NAMES, load.MAINTENANCE))
        gone = [old for old, _unused in wanted if old not in here and old not in {new for _unused, new in wanted}]
        if gone:
            raise Refused(
                f"{', '.join(gone)} is not there any more, so nothing goes back to what was before restore {restore}"
            )
        record["away_seconds"] = exchange(host, wanted)
        return record


def exchange(host: Mapping[str, Any], wanted: Sequence[tuple[str, str]], more: str = "") -> float:
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


def _remove_restored(host: Mapping[str, Any]) -> None:
    """Remove what was restored and is in nobody's place, also by a run that was killed."""
    for name in json.loads(sql(host, LEFT, load.MAINTENANCE)):
        sql(host, dump_sql.drop(name), load.MAINTENANCE, RESTORE_SECONDS)


def _beat(host: Mapping[str, Any]) -> float | None:
    """The moment of the last heartbeat in the restored data, None where there is none."""
    there = sql(host, "select to_regclass('sluice.heartbeat') is not null") == "t"
    beat = sql(host, BEAT) if there else ""
    return float(beat) if beat else None
