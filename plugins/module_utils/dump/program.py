# SPDX-License-Identifier: Apache-2.0
"""The backup program of a database host whose engine is pg_dump: the same commands as with pgBackRest, as far as dumps go. See docs/backup.md."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import program, restic
from ansible_collections.sluice.stack.plugins.module_utils.backup import commands as backup_commands
from ansible_collections.sluice.stack.plugins.module_utils.backup import engine as backup_engine
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_plan as backup_restore_plan
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_point
from ansible_collections.sluice.stack.plugins.module_utils.backup import status as backup_status
from ansible_collections.sluice.stack.plugins.module_utils.backup import verdict as backup_verdict
from ansible_collections.sluice.stack.plugins.module_utils.backup.commands import on_primary, publish
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, settings, sql
from ansible_collections.sluice.stack.plugins.module_utils.dump import drill as dump_drill
from ansible_collections.sluice.stack.plugins.module_utils.dump import make
from ansible_collections.sluice.stack.plugins.module_utils.dump import restore as dump_restore
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.program import Answer
from ansible_collections.sluice.stack.plugins.module_utils.restic import ResticError

ENGINE = backup_engine.engine("pg_dump")
# What is for engines with other capabilities: the command, and the capability it takes.
REFUSED = {"incr": "incremental", "compare": "rewind", "rewind": "rewind", "reopen": "rewind"}


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser, commands = backup_commands.parser("Dumps of this host's databases.")
    commands.add_parser("first", help="make repositories that are not there, and dump to those without a dump")
    full = commands.add_parser("full", help="dump every database to every repository, and forget old dumps")
    full.add_argument("--point", default="", help="the release it is made for, which a restore can name")
    restore = commands.add_parser("restore", help="print the plan of a restore, or carry it out when it is confirmed")
    restore.add_argument("--time", default="", help="the newest dump of this moment or before, ISO 8601 with its zone")
    restore.add_argument("--point", default="", help="the dump that was made before this release")
    restore.add_argument("--repository", default="", help="from this one; else the first that has what is needed")
    restore.add_argument("--timeline", default="", help=argparse.SUPPRESS)
    restore.add_argument("--confirm", default="", help="the id of the plan that shall be carried out")
    back = commands.add_parser("back", help="put what was there before the last restore in place again")
    back.add_argument("--restore", required=True, help="the id of the restore")
    for name, action in REFUSED.items():
        commands.add_parser(name, help=f"not with dumps: {backup_engine.ACTIONS[action][1]}")
    asked, rest = parser.parse_known_args(words)
    # With whatever another engine's command takes.
    if rest and asked.command not in REFUSED:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return asked


def look(host: Mapping[str, Any]) -> dict[str, Any]:
    """The status, as data; writes the metrics."""
    now = time.time()
    stores = dump_store.stores(host)
    found = dump_store.described(stores)
    runs, drill = read_json(dump_store.RUNS, {}), read_json(backup_verdict.RECORD)
    wrong = [*backup_status.of_repositories(host, found, runs, now), *backup_status.of_drill(host, drill, now)]
    try:
        sql(host, "select true")
    except HostError as error:
        wrong.append(f"it cannot be dumped: {error}")
    publish(host, "sluice_backup", backup_status.metrics(found, None, runs, wrong, now))
    return {
        "wrong": wrong,
        "lines": backup_status.described(found, None, drill, wrong, now),
        "repositories": [
            {
                "name": store.name,
                "failure": store.failure and store.failure._asdict(),
                "stored": repository.stored,
                "backups": [{**dump._asdict(), "label": dump.label} for dump in store.dumps],
            }
            for store, repository in zip(stores, found, strict=True)
        ],
        "drill": drill,
    }


@on_primary
def run_first(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """See that every repository can be used, and make the first dumps."""
    lines, missing = [], []
    for repository in host["repositories"]:
        name = repository["name"]
        try:
            if restic.initialise(repository):
                lines.append(f"{name}: made")
        except ResticError as error:
            return 1, {"lines": [*lines, f"{name}: cannot be used: {error}"]}
        newest = dump_store.look(repository).newest
        if newest is None:
            missing.append(name)
        else:
            make.refuse_foreign(host, newest)
    code, told = backup_status.told(make.run(host, missing)) if missing else (0, {"lines": []})
    look(host)
    return code, {**told, "lines": [*lines, *told["lines"]] or ["every repository can be used and has a backup"]}


@on_primary
def run_full(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Dump to every repository."""
    if asked.point and not restore_point.NAME.fullmatch(asked.point):
        raise HostError(f"restore point {asked.point!r}: up to 63 letters, digits, dots and dashes are a name")
    runs = make.run(host, release=asked.point)
    look(host)
    return backup_status.told(runs)


def run_restore(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Print the plan, or carry it out."""
    if asked.timeline:
        backup_engine.require(ENGINE, "restore_to_time", "restore_timeline")
    wanted = backup_restore_plan.target(asked.time, asked.point, time.time())
    if not asked.confirm:
        made = dump_restore.plan(host, wanted, asked.repository)
        return 0, {**made, "lines": dump_restore.described(made)}
    record = dump_restore.execute(host, wanted, asked.repository, asked.confirm)
    kept = [new for old, new in record["moves"] if record["here"].get(old) is not None]
    beat = f"; its last heartbeat is of {backup_status.when(record['beat'])}" if record["beat"] else ""
    return 0, {
        **record,
        "lines": [
            f"restored dump {record['snapshot'][:8]} of {backup_status.when(record['moment'])} in {record['seconds']:.1f} s; the databases were away for "
            f"{record['away_seconds']:.1f} s{beat}",
            f"roles: {', '.join(record['roles_made']) or 'none'} made; {', '.join(record['roles_kept']) or 'none'} not changed",
            f"what was there before: {', '.join(kept) or 'nothing'}",
            f"to go back to it: {record['back']}",
        ],
    }


def run_back(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Go back to what was there before a restore."""
    record = dump_restore.go_back(host, asked.restore)
    left = ", ".join(new for old, new in dump_restore.back(record) if old in record["here"])
    return 0, {
        **record,
        "lines": [
            f"what was there before restore {asked.restore} is in place again; what was restored is kept as {left}"
        ],
    }


def run_refused(_unused: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Say why not."""
    backup_engine.require(ENGINE, REFUSED[asked.command], f"sluice-backup {asked.command}")
    raise AssertionError(asked.command)


COMMANDS = {
    "status": backup_commands.status(look),
    "first": run_first,
    "full": run_full,
    "drill": backup_commands.drill(dump_drill.run),
    "restore": run_restore,
    "back": run_back,
    **dict.fromkeys(REFUSED, run_refused),
}


def main(words: Sequence[str]) -> int:
    """Run a command; its exit code. 0 is well, 1 is not well, 2 is: could not be done."""
    errors = (HostError, ResticError, backup_restore_plan.Refused, backup_engine.NotCapable)
    return program.answer(arguments(words), COMMANDS, settings, errors)
