# SPDX-License-Identifier: Apache-2.0
"""The backup program of a database host with pg_dump: the same commands as with pgBackRest, as far as dumps go."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, restic, restore_plan
from ansible_collections.sluice.stack.plugins.module_utils.backup import engine as backup_engine
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
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import Observed
from ansible_collections.sluice.stack.plugins.module_utils.dump import drill as dump_drill
from ansible_collections.sluice.stack.plugins.module_utils.dump import make, restore, store

# Commands of engines with other capabilities: the command, and the capability it takes.
REFUSED = {"incr": "incremental", "compare": "rewind", "rewind": "rewind", "unlock": "rewind"}


def _arguments(commands: Any, restores: Any) -> Mapping[str, Command]:
    """Add a restore's moment, the release of a dump, and the commands that are refused."""
    restores.add_argument("--time", default="", help="the newest dump of this moment or before, ISO 8601 with its zone")
    restores.add_argument("--point", default="", help="the dump that was made before this release")
    restores.add_argument("--timeline", default="", help=argparse.SUPPRESS)
    commands.choices["full"].add_argument(
        "--point", default="", help="the release it is made for, which a restore can name"
    )
    reverts = commands.add_parser("revert", help="put the data from before the last restore in place again")
    reverts.add_argument("--restore", required=True, help="the id of the restore")
    for name, action in REFUSED.items():
        refused = commands.add_parser(name, help=f"not with dumps: {backup_engine.ACTIONS[action][1]}")
        for option in ("--point", "--confirm", "--repository"):
            refused.add_argument(option, help=argparse.SUPPRESS)
        refused.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    return {
        "drill": drill.command(commands, dump_drill.trial),
        "revert": _revert,
        **dict.fromkeys(REFUSED, _refuse),
    }


def _prepare(host: Host) -> Prepared:
    """Make repositories that are not there, and see that the dumps in the others are of this cluster."""
    made, failed = restic.prepare(host["repositories"])
    for repository in store.repositories(host):
        if repository.newest:
            make.refuse_foreign(host, repository.newest)
    return Prepared(made, failed)


def _jobs(host: Host, asked: Asked) -> Iterator[Job]:
    """One dump, which is kept in every repository when it is whole."""
    release = getattr(asked, "point", "")
    if release:
        restore_plan.require_point(release)
    with make.staged(host) as folder:
        dump, failure = None, HostError("")
        try:
            dump = make.make(host, folder, release)
        except HostError as error:
            failure = error

        def keep(repository: Host) -> dict[str, Any]:
            if dump is None:
                raise failure
            restic.unlock(repository)
            found = store.look(repository)
            if found.failure:
                raise RepositoryError(found.failure)
            if found.newest:
                make.refuse_foreign(host, found.newest)
            return store.keep(host, repository, dump)

        for item in host["repositories"]:
            yield Job(item["name"], "full", functools.partial(keep, item))


def _observe(host: Host, now: float) -> Observed:
    """Observe the repositories, the server and the last drill."""
    problems, lines, data = drill.observed(host, now)
    try:
        sql(host, "select true")
    except HostError as error:
        problems = [*problems, f"it cannot be dumped: {error}"]
    return Observed(store.repositories(host), problems, lines, (), data)


def _revert(host: Host, asked: Asked) -> Answer:
    record = restore.revert(host, asked.restore)
    left = ", ".join(new for old, new in restore.moves_back(record) if old in record["current"])
    line = f"the data from before restore {asked.restore} are in place again; the restored data are kept as {left}"
    return 0, {**record, "lines": [line]}


def _refuse(_unused: Host, asked: Asked) -> Answer:
    backup_engine.require(backup_engine.engine("pg_dump"), REFUSED[asked.command], f"sluice-backup {asked.command}")
    raise AssertionError(asked.command)


ENGINE = Engine(
    program="sluice-backup",
    about="Dumps of this host's databases.",
    state=STATE,
    metrics="sluice_backup",
    confirms="restore_confirm",
    backups={"full": "dump every database to every repository, and forget old dumps"},
    settings=database_settings,
    arguments=_arguments,
    skips=drill.standby,
    prepare=_prepare,
    repositories=store.repositories,
    jobs=_jobs,
    observe=_observe,
    plan=restore.plan,
    describe=restore.described,
    restore=restore.execute,
)
