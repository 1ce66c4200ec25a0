# SPDX-License-Identifier: Apache-2.0
"""The program that backs up a host's files and Docker volumes with restic."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import program, restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.program import (
    Answer,
    Asked,
    Command,
    Engine,
    Host,
    Job,
    Prepared,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import (
    Backup,
    Failure,
    Repository,
    RepositoryError,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import HOUR, Observed, place, when
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import restore
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json

LOCK = os.path.join(hosts.STATE, "backup.lock")
CHECKS = os.path.join(hosts.STATE, "checks.json")


def _arguments(commands: Any, restores: Any) -> Mapping[str, Command]:
    """Add the check, the list, and what to restore where."""
    commands.add_parser("check", help="read the next part of every repository again, and free space")
    commands.add_parser("snapshots", help="list what can be restored")
    restores.add_argument("--source", default="", help="what to restore, as the status names it")
    restores.add_argument("--snapshot", default="", help="the beginning of a snapshot's id; else the newest")
    restores.add_argument("--time", default="", help="the newest of this moment or before, ISO 8601 with its zone")
    restores.add_argument("--to", default="", help="to this directory, which does not exist yet; else where it was")
    return {"check": _check, "snapshots": _snapshots}


def _prepare(host: Host) -> Prepared:
    """Make repositories that are not there; from here on the status asks for checks."""
    made, failed = restic.prepare(host["repositories"])
    checks = {item["name"]: _unchecked() for item in host["repositories"]}
    write_json(CHECKS, {**checks, **read_json(CHECKS, {})})
    absent = _absent(host)
    lines = [f"{name}: {error} yet; the timer backs it up when it does" for name, error in absent.items()]
    return Prepared([*made, *lines], failed, absent)


def repositories(host: Host) -> list[Repository]:
    """Read what the repositories hold; one that does not answer has a ``failure``."""
    return [_repository(item, number) for number, item in enumerate(host["repositories"], start=1)]


def _jobs(host: Host, _unused: Asked) -> Iterator[Job]:
    """A snapshot of every source in every repository."""
    for repository in host["repositories"]:
        unusable: list[HostError] = []
        for source in host["sources"]:
            work = functools.partial(_back_up, host, repository, source, unusable)
            yield Job(place(repository["name"], source["name"]), "full", work)


def _observe(host: Host, now: float) -> Observed:
    """Observe the repositories and the last checks."""
    checks = read_json(CHECKS, {})
    problems = [line for item in host["repositories"] for line in _of_check(host, item["name"], checks, now)]
    metrics = []
    for name, item in checks.items():
        if item["ended"] is not None:
            label = f'{{repository="{name}"}}'
            metrics.append(f"sluice_files_check_success{label} {int(item['ok'])}")
            metrics.append(f"sluice_files_check_timestamp_seconds{label} {item['ended']:.0f}")
            if item["stored"] is not None:
                metrics.append(f"sluice_files_stored_bytes{label} {item['stored']}")
    return Observed(repositories(host), problems, (), metrics)


def _plan(host: Host, asked: Asked) -> dict[str, Any]:
    return restore.plan(host, repositories(host), asked)


def _restore(host: Host, plan: Mapping[str, Any]) -> dict[str, Any]:
    # No backup begins while files are exchanged; one that runs is waited for.
    with locked(LOCK):
        return restore.execute(host, plan)


def _check(host: Host, _unused: Asked) -> Answer:
    """Read a part of every repository again, and free the space of what is forgotten."""
    lines, parts = [], host["check_parts"]
    with locked(LOCK):
        checks = read_json(CHECKS, {})
        for repository in host["repositories"]:
            name = repository["name"]
            before = checks.get(name, _unchecked())
            # The next part each time, so that all is read after as many checks as there are parts; a failed one is read again.
            part = before["part"] % parts + 1
            result = {**before, "begun": time.time(), "ok": True, "message": ""}
            try:
                restic.unlock(repository)
                restic.check(repository, part, parts)
                # Only of what is whole: prune rewrites data.
                result |= {"stored": restic.prune(repository), "part": part}
                stored = f"{result['stored'] / 2**20:.1f} MiB stored"
                lines.append(f"{name}: whole; part {part} of {parts} was read again; {stored}")
            except RepositoryError as error:
                result |= {"ok": False, "message": str(error)}
                lines.append(f"{name}: FAILED: {error}")
            checks[name] = {**result, "ended": time.time()}
            write_json(CHECKS, checks)
    program.look(ENGINE, host)
    failed = not all(checks[item["name"]]["ok"] for item in host["repositories"])
    return int(failed), {"lines": lines, "checks": checks}


def _snapshots(host: Host, _unused: Asked) -> Answer:
    """List what can be restored, oldest first."""
    found = repositories(host)
    lines = [
        f"{repository.name:<10} {item.source:<24} {item.label}  {when(item.ended)}"
        + (f"  {item.size / 2**20:.1f} MiB" if item.size is not None else "")
        for repository in found
        for item in repository.backups
    ]
    failed = [f"{item.name}: {item.failure.message}" for item in found if item.failure]
    return int(bool(failed)), {"lines": [*lines, *failed] or ["there is none"]}


def _unchecked() -> dict[str, Any]:
    return {"since": time.time(), "ended": None, "ok": True, "message": "", "part": 0, "stored": None}


def _repository(settings: Host, number: int) -> Repository:
    try:
        found = restic.snapshots(settings)
    except RepositoryError as error:
        return Repository(settings["name"], number, error.failure, ())
    return Repository(
        settings["name"],
        number,
        None,
        tuple(
            Backup(
                item.id[:8], "full", item.moment, item.moment, item.size, id=item.id, path=item.path, source=item.source
            )
            for item in found
        ),
    )


def _absent(host: Host) -> dict[str, str]:
    """The sources that do not exist yet: on a fresh host they come with the app."""
    absent = {}
    for source in host["sources"]:
        try:
            hosts.place(source)
        except hosts.Missing as error:
            absent[source["name"]] = str(error)
        except HostError:
            pass  # its backup says what is wrong
    return absent


def _back_up(host: Host, repository: Host, source: Host, unusable: list[HostError]) -> dict[str, Any]:
    """Back one source up. ``unusable`` is the repository's failure, known after its first source: the others do not wait for it again."""
    if unusable:
        raise unusable[0]
    try:
        restic.unlock(repository)
    except HostError as error:
        unusable.append(error)
        raise
    saved, unread = restic.backup(repository, host["name"], [source["name"]], hosts.place(source), host["excludes"])
    # A source that could not be backed up whole keeps all its snapshots: none of them is removed for it.
    if unread:
        raise RepositoryError(Failure("other", unread))
    with restic.retention():
        restic.forget(repository, host["name"], source["name"], host["keep"], "host,tags")
    return {"snapshot": saved.snapshot, "size": saved.size, "added": saved.added}


def _of_check(host: Host, name: str, checks: Mapping[str, Any], now: float) -> list[str]:
    item, limit = checks.get(name), host["check_max_age_hours"]
    if not item:
        return []
    if item["ended"] is not None and not item["ok"]:
        return [f"{name}: the last check ({when(item['ended'])}) failed: {item['message']}"]
    hours = (now - (item["since"] if item["ended"] is None else item["ended"])) / HOUR
    return [f"{name}: nothing of it was read again for {hours:.0f} h, more than {limit} h"] if hours > limit else []


ENGINE = Engine(
    program="sluice-files",
    about="Backups of this host's files and Docker volumes.",
    state=hosts.STATE,
    metrics="sluice_files",
    confirms="files_confirm",
    backups={"backup": "back up to every repository, and forget what retention does not keep"},
    settings=hosts.file_settings,
    arguments=_arguments,
    skips=lambda _unused: "",
    prepare=_prepare,
    repositories=repositories,
    jobs=_jobs,
    observe=_observe,
    plan=_plan,
    describe=restore.described,
    restore=_restore,
)
