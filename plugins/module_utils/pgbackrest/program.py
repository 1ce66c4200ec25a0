# SPDX-License-Identifier: Apache-2.0
"""The backup program of a database host with pgBackRest."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, write_lock
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import STATE, HostError, database_settings, sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.program import (
    Answer,
    Asked,
    Command,
    Engine,
    Host,
    Job,
    Prepared,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import Observed, when
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client, output, restore, revert, rewind
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import drill as pgbackrest_drill

BACKUP_SECONDS = 24 * 3600.0
ARCHIVER = """
select json_build_object(
  'failed', last_failed_wal, 'failed_at', extract(epoch from last_failed_time), 'archived_at', extract(epoch from last_archived_time),
  'waiting', (select count(*) from pg_ls_archive_statusdir() where name like '%.ready'))
from pg_stat_archiver
"""
BACKUPS = {
    "full": "back up to every repository, whole",
    "incr": "back up to every repository what has changed since the backup before",
}


def _arguments(commands: Any, restores: Any) -> Mapping[str, Command]:
    """Add the commands that need a copy of the cluster, and a restore's moment."""
    restores.add_argument("--time", default="", help="to this moment, in ISO 8601 with its zone")
    restores.add_argument("--point", default="", help="to this restore point: a release's id")
    restores.add_argument(
        "--timeline", default="latest", help="of the archive: latest, current (the backup's), or its number"
    )
    compare = commands.add_parser("compare", help="count the rows that a rewind would revert; changes nothing")
    compare.add_argument("--keep", action="store_true", help="leave the restored copy; a rewind uses it")
    rewinds = commands.add_parser("rewind", help="count the rows to revert, and rewind to a restore point")
    rewinds.add_argument("--confirm", default="", help="the restore point once more")
    for command in (compare, rewinds):
        command.add_argument("--point", required=True, help="the restore point: the id of the release to revert")
        command.add_argument("--repository", default="", help="from this one; else the first that has what is needed")
    reverts = commands.add_parser("revert", help="put the data that a restore or rewind moved aside in place again")
    reverts.add_argument("--restore", required=True, help="the restore's id, or the rewind's restore point")
    commands.add_parser("unlock", help="end the write lock of a rewind that was killed half-way")
    return {
        "drill": drill.command(commands, pgbackrest_drill.trial),
        "compare": _compare,
        "rewind": _rewind,
        "revert": _revert,
        "unlock": _unlock,
    }


def _prepare(host: Host) -> Prepared:
    """See a WAL file arrive in every repository."""
    done = client.pgbackrest(host, "check", timeout=300)
    if done.code:
        raise HostError(f"WAL does not arrive: {output.explain(done.output).message}")
    return Prepared([], [])


def _jobs(host: Host, asked: Asked) -> list[Job]:
    """A backup to every repository; `first` makes whole ones."""
    kind = asked.command if asked.command in BACKUPS else "full"

    def back_up(number: int) -> dict[str, Any]:
        done = client.pgbackrest(host, f"--repo={number}", f"--type={kind}", "backup", timeout=BACKUP_SECONDS)
        if done.code:
            raise RepositoryError(output.explain(done.output))
        return {}

    numbered = enumerate(host["repositories"], start=1)
    return [Job(item["name"], kind, functools.partial(back_up, number)) for number, item in numbered]


def _observe(host: Host, now: float) -> Observed:
    """Observe the repositories, the archiver, the write lock and the last drill."""
    found, (problems, lines, data) = client.repositories(host), drill.observed(host, now)
    try:
        archiver = json.loads(sql(host, ARCHIVER))
    except HostError:
        archiver = None
    problems = [*_of_archiver(host, archiver), *problems]
    if write_lock.is_locked(host):
        problems.append("the database is locked for a rewind that has not ended; run it again, or sluice-backup unlock")
    metrics = []
    if archiver:
        shipped = when(archiver["archived_at"]) if archiver["archived_at"] else "not since the server started"
        lines = [f"{'archiver':<10} {archiver['waiting']} files wait; last one {shipped}", *lines]
        metrics = [
            f"sluice_backup_wal_waiting_files {archiver['waiting']}",
            f"sluice_backup_wal_archived_timestamp_seconds {archiver['archived_at'] or 0:.0f}",
            f"sluice_backup_wal_failed_timestamp_seconds {archiver['failed_at'] or 0:.0f}",
        ]
    return Observed(found, problems, lines, metrics, {**data, "archiver": archiver})


def _of_archiver(host: Host, archiver: Mapping[str, Any] | None) -> list[str]:
    if archiver is None:
        return ["the database does not answer, so it is unknown whether it archives"]
    found = []
    failed, worked = archiver["failed_at"], archiver["archived_at"]
    # One that failed a moment ago and has worked since is healthy.
    if failed is not None and (worked is None or failed > worked):
        found.append(
            f"the archiver fails: {archiver['failed']} at {when(failed)}, and nothing was archived since; "
            "the reason is in the database's log, and /var/log/pgbackrest has more"
        )
    if archiver["waiting"] > host["max_waiting"]:
        found.append(
            f"{archiver['waiting']} WAL files wait to be archived, more than {host['max_waiting']}; they fill the database's disk"
        )
    return found


def _compare(host: Host, asked: Asked) -> Answer:
    record = rewind.compare(host, asked.point, asked.repository, asked.keep)
    return 0, {**record, "lines": rewind.described(record)}


def _rewind(host: Host, asked: Asked) -> Answer:
    record = rewind.rewind(host, asked.point, asked.repository, asked.confirm)
    return 0, {**record, "lines": rewind.described(record)}


def _revert(host: Host, asked: Asked) -> Answer:
    record = revert.revert(host, asked.restore)
    restored = f"reverted to {record['aside']} in {record['seconds']:.1f} s; the server takes writes on timeline {record['new_timeline']}"
    return 0, {**record, "lines": [restored, f"previous data: {record['left']}; remove it when nobody needs it"]}


def _unlock(host: Host, _unused: Asked) -> Answer:
    locked = rewind.unlock(host)
    return 0, {"lines": ["the database takes connections again" if locked else "the database was not locked"]}


ENGINE = Engine(
    program="sluice-backup",
    about="Backups of this host's database.",
    state=STATE,
    metrics="sluice_backup",
    confirms="restore_confirm",
    backups=BACKUPS,
    settings=database_settings,
    arguments=_arguments,
    skips=drill.standby,
    prepare=_prepare,
    repositories=client.repositories,
    jobs=_jobs,
    observe=_observe,
    plan=restore.plan,
    describe=restore.described,
    restore=restore.execute,
)
