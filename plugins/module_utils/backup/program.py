# SPDX-License-Identifier: Apache-2.0
"""The backup program of a database host: what timers start, playbooks call and a person may type. See docs/backup.md."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import program
from ansible_collections.sluice.stack.plugins.module_utils.backup import back, repository, restore_plan, status, verdict
from ansible_collections.sluice.stack.plugins.module_utils.backup import closed as backup_closed
from ansible_collections.sluice.stack.plugins.module_utils.backup import commands as backup_commands
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill as backup_drill
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore as backup_restore
from ansible_collections.sluice.stack.plugins.module_utils.backup import rewind as backup_rewind
from ansible_collections.sluice.stack.plugins.module_utils.backup.commands import names, on_primary, publish
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import STATE, HostError, settings, sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.pgbackrest import pgbackrest, repositories
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.program import Answer

RUNS = os.path.join(STATE, "runs.json")
BACKUP_SECONDS = 24 * 3600.0
ARCHIVER = """
select json_build_object(
  'failed', last_failed_wal, 'failed_at', extract(epoch from last_failed_time), 'archived_at', extract(epoch from last_archived_time),
  'waiting', (select count(*) from pg_ls_archive_statusdir() where name like '%.ready'))
from pg_stat_archiver
"""


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser, commands = backup_commands.parser("Backups of this host's database.")
    commands.add_parser(
        "first", help="see a WAL file arrive in every repository, and back up where there is no backup yet"
    )
    commands.add_parser("full", help="back up to every repository, whole")
    commands.add_parser("incr", help="back up to every repository what has changed since the backup before")
    restore = commands.add_parser("restore", help="print the plan of a restore, or carry it out when it is confirmed")
    restore.add_argument("--time", default="", help="go back to this moment, in ISO 8601 with its zone")
    restore.add_argument("--point", default="", help="go back to this restore point: a release's id")
    restore.add_argument("--repository", default="", help="from this one; else the first that has what is needed")
    restore.add_argument(
        "--timeline", default="latest", help="of the archive: latest, current (the backup's), or its number"
    )
    restore.add_argument("--confirm", default="", help="the id of the plan that shall be carried out")
    compare = commands.add_parser(
        "compare", help="count the rows that going back to a restore point would undo; changes nothing"
    )
    compare.add_argument(
        "--keep", action="store_true", help="leave what was restored for that; a rewind goes on with it"
    )
    rewind = commands.add_parser("rewind", help="count the rows that are undone, and go back to a restore point")
    rewind.add_argument("--confirm", default="", help="the restore point once more")
    for command in (compare, rewind):
        command.add_argument("--point", required=True, help="the restore point: the id of the release to be undone")
        command.add_argument("--repository", default="", help="from this one; else the first that has what is needed")
    back = commands.add_parser("back", help="go back to what a restore or a rewind has moved aside")
    back.add_argument("--restore", required=True, help="the restore's id, or the rewind's restore point")
    commands.add_parser("reopen", help="let everybody in again after a rewind that was killed half-way")
    return parser.parse_args(words)


def make_backups(host: Mapping[str, Any], kind: str, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Back up to every repository, or to those named; the result of each, which is also kept. One that fails does not keep the next from its own."""
    with locked(os.path.join(STATE, "backup.lock")):
        runs = read_json(RUNS, {})
        for number, name in enumerate(names(host), start=1):
            if only is not None and name not in only:
                continue
            begun = time.time()
            try:
                done = pgbackrest(host, f"--repo={number}", f"--type={kind}", "backup", timeout=BACKUP_SECONDS)
                message = repository.explain(done.said).message if done.code else ""
            except HostError as error:
                message = str(error)
            ended = time.time()
            runs[name] = {"kind": kind, "ok": not message, "message": message, "begun": begun, "ended": ended}
            write_json(RUNS, runs)
    return {name: run for name, run in runs.items() if only is None or name in only}


def look(host: Mapping[str, Any]) -> dict[str, Any]:
    """The status, as data; writes the metrics."""
    now = time.time()
    found = repositories(host)
    try:
        archiver = json.loads(sql(host, ARCHIVER))
    except HostError:
        archiver = None
    runs, drill = read_json(RUNS, {}), read_json(verdict.RECORD)
    wrong = status.judge(host, found, archiver, runs, drill, now)
    if backup_closed.is_closed(host):
        wrong.append("the database lets nobody in: a rewind has not ended; run it again, or sluice-backup reopen")
    publish(host, "sluice_backup", status.metrics(found, archiver, runs, wrong, now))
    return {
        "wrong": wrong,
        "lines": status.described(found, archiver, drill, wrong, now),
        "repositories": [
            {
                **item._asdict(),
                "failure": item.failure and item.failure._asdict(),
                "backups": [b._asdict() for b in item.backups],
            }
            for item in found
        ],
        "archiver": archiver,
        "drill": drill,
    }


@on_primary
def run_first(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """See that WAL arrives, and make the first backups."""
    done = pgbackrest(host, "check", timeout=300)
    if done.code:
        return 1, {"lines": [f"WAL does not arrive: {repository.explain(done.said).message}"]}
    missing = [item.name for item in repositories(host) if not item.backups]
    runs = make_backups(host, "full", missing) if missing else {}
    look(host)
    return status.told(runs) if runs else (0, {"lines": ["every repository gets WAL and has a backup"]})


@on_primary
def run_backup(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Back up to every repository."""
    runs = make_backups(host, asked.command)
    look(host)
    return status.told(runs)


def run_restore(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Print the plan, or carry it out."""
    wanted = restore_plan.target(asked.time, asked.point, time.time())
    if not asked.confirm:
        made = backup_restore.plan(host, wanted, asked.repository, asked.timeline)
        return 0, {**made, "lines": restore_plan.described(made)}
    record = backup_restore.execute(host, wanted, asked.repository, asked.timeline, asked.confirm)
    beat = f"; its last heartbeat is of {status.when(record['beat'])}" if record["beat"] else ""
    return 0, {
        **record,
        "lines": [
            f"restored {record['words']} in {record['seconds']:.1f} s; the server takes writes on timeline {record['new_timeline']}{beat}",
            f"what was there before: {record['aside'] if os.path.exists(record['aside']) else 'nothing'}",
            f"to go back to it: {record['back']}",
        ],
    }


def run_compare(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Count what would be undone."""
    record = backup_rewind.compare(host, asked.point, asked.repository, asked.keep)
    return 0, {**record, "lines": backup_rewind.described(record)}


def run_rewind(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Count what is undone, and undo it."""
    record = backup_rewind.rewind(host, asked.point, asked.repository, asked.confirm)
    return 0, {**record, "lines": backup_rewind.described(record)}


def run_back(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Go back to what was moved aside."""
    record = back.go_back(host, asked.restore)
    return 0, {
        **record,
        "lines": [
            f"gone back to {record['aside']} in {record['seconds']:.1f} s; the server takes writes on timeline {record['new_timeline']}",
            f"what was left: {record['left']}; remove it when nobody needs it",
        ],
    }


def run_reopen(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """Let everybody in again."""
    closed = backup_rewind.reopen(host)
    return 0, {"lines": ["the database takes connections again" if closed else "the database was not closed"]}


COMMANDS = {
    "status": backup_commands.status(look),
    "first": run_first,
    "full": run_backup,
    "incr": run_backup,
    "drill": backup_commands.drill(backup_drill.run),
    "restore": run_restore,
    "compare": run_compare,
    "rewind": run_rewind,
    "back": run_back,
    "reopen": run_reopen,
}


def main(words: Sequence[str]) -> int:
    """Run a command; its exit code. 0 is well, 1 is not well, 2 is: could not be done."""
    return program.answer(
        arguments(words), COMMANDS, settings, (HostError, restore_plan.Refused, backup_restore.NotConfirmed)
    )
