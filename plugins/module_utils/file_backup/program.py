# SPDX-License-Identifier: Apache-2.0
"""The program that backs a host's files up: what timers start, playbooks call and a person may type. See docs/backup.md."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import program, restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import when
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as file_backup_host
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import restore as file_backup_restore
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import status
from ansible_collections.sluice.stack.plugins.module_utils.file_backup.host import STATE, FilesError, Missing
from ansible_collections.sluice.stack.plugins.module_utils.file_backup.status import Seen
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_atomic, write_json
from ansible_collections.sluice.stack.plugins.module_utils.program import Answer
from ansible_collections.sluice.stack.plugins.module_utils.restic import ResticError

RUNS = os.path.join(STATE, "runs.json")
CHECKS = os.path.join(STATE, "checks.json")
LOCK = os.path.join(STATE, "lock")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="sluice-files", description="Backups of this host's files and Docker volumes."
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "status", help="what there is and what is wrong; writes the metrics; exit code 1 when something is wrong"
    )
    commands.add_parser("first", help="make repositories that are not there, and back up what has no backup yet")
    commands.add_parser("backup", help="back up to every repository, and forget what retention does not keep")
    commands.add_parser("check", help="read the next part of every repository again, and give back room")
    commands.add_parser("snapshots", help="list what can be restored")
    restore = commands.add_parser("restore", help="print the plan of a restore, or carry it out when it is confirmed")
    restore.add_argument("--source", default="", help="what to restore, as the status calls it")
    restore.add_argument("--snapshot", default="", help="the beginning of a snapshot's id; else the newest")
    restore.add_argument("--time", default="", help="the newest of this moment or before, in ISO 8601 with its zone")
    restore.add_argument("--repository", default="", help="from this one; else the first that has what is needed")
    restore.add_argument("--to", default="", help="to this directory, which is not there yet; else where it was")
    restore.add_argument("--confirm", default="", help="the id of the plan that shall be carried out")
    return parser.parse_args(words)


def observe(host: Mapping[str, Any]) -> list[Seen]:
    """What is in the repositories; one that cannot be asked says so in its ``failure``."""
    seen = []
    for repository in host["repositories"]:
        try:
            seen.append(Seen(repository["name"], "", tuple(restic.snapshots(repository))))
        except ResticError as error:
            seen.append(Seen(repository["name"], str(error), ()))
    return seen


def look(host: Mapping[str, Any]) -> dict[str, Any]:
    """The status, as data; writes the metrics."""
    now, seen = time.time(), observe(host)
    runs, checks = read_json(RUNS, {}), read_json(CHECKS, {})
    wrong = status.judge(host, seen, runs, checks, now)
    text = status.metrics(host, seen, runs, checks, wrong, now)
    write_atomic(os.path.join(host["textfile"], "sluice_files.prom"), text, mode=0o644)
    return {
        "wrong": wrong,
        "lines": status.described(host, seen, runs, wrong, now),
        "repositories": [
            {
                "name": item.name,
                "failure": item.failure,
                "snapshots": [snapshot._asdict() for snapshot in item.snapshots],
            }
            for item in seen
        ],
    }


def make_backups(host: Mapping[str, Any], only: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """Back every source up to every repository, or the sources named by repository; the results, which are also kept.

    One that fails does not keep the next from its own.
    """
    done: dict[str, Any] = {}
    with locked(LOCK):
        runs = read_json(RUNS, {})
        for repository in host["repositories"]:
            name = repository["name"]
            sources = [item for item in host["sources"] if only is None or item["name"] in only.get(name, ())]
            done[name] = _to_repository(host, repository, sources)
            runs[name] = {**runs.get(name, {}), **done[name]}
            write_json(RUNS, runs)
    return done


def _to_repository(
    host: Mapping[str, Any], repository: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    results: dict[str, Any] = {}
    closed = ""
    try:
        if sources:
            restic.free(repository)
    except ResticError as error:
        closed = str(error)
    for source in sources:
        result: dict[str, Any] = {"begun": time.time(), "message": closed, "snapshot": "", "size": None, "added": None}
        if not closed:
            try:
                saved, result["message"] = restic.backup(
                    repository, host["name"], [source["name"]], file_backup_host.place(source), host["excludes"]
                )
                if saved:
                    result |= {"snapshot": saved.snapshot, "size": saved.size, "added": saved.added}
            except (ResticError, FilesError) as error:
                result["message"] = str(error)
        results[source["name"]] = {**result, "ok": not result["message"], "ended": time.time()}
    # A source that could not be backed up keeps all its snapshots: none of them is to make room for one that is not there.
    good = [name for name, result in results.items() if result["ok"]]
    if good:
        try:
            restic.forget(repository, host["name"], good, host["keep"], "host,tags")
        except ResticError as error:
            for name in good:
                results[name] |= {"ok": False, "message": f"it is backed up, but old snapshots stay: {error}"}
    return results


def run_status(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """What there is and what is wrong."""
    found = look(host)
    return int(bool(found["wrong"])), found


def run_first(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """See that every repository can be used, and make the first backups of what is there."""
    lines, wrong = [], 0
    absent = _absent(host)
    checks = read_json(CHECKS, {})
    only: dict[str, list[str]] = {}
    for repository in host["repositories"]:
        name = repository["name"]
        try:
            if restic.initialise(repository):
                lines.append(f"{name}: made")
            have = {item.source for item in restic.snapshots(repository)}
        except ResticError as error:
            lines.append(f"{name}: cannot be used: {error}")
            wrong = 1
            continue
        # From here on the status asks for a check.
        checks.setdefault(
            name, {"since": time.time(), "ended": None, "ok": True, "message": "", "part": 0, "stored": None}
        )
        only[name] = [item["name"] for item in host["sources"] if item["name"] not in {*have, *absent}]
    write_json(CHECKS, checks)
    if any(only.values()):
        code, told = _told(make_backups(host, only))
        lines, wrong = [*lines, *told["lines"]], wrong or code
    look(host)
    return wrong, {"lines": [*lines, *absent.values()] or ["every repository can be used and has a backup"]}


def _absent(host: Mapping[str, Any]) -> dict[str, str]:
    """The sources that are not there yet, each with a line about it: on a fresh host they come with the app."""
    absent = {}
    for source in host["sources"]:
        try:
            file_backup_host.place(source)
        except Missing as error:
            absent[source["name"]] = f"{source['name']}: {error} yet; the timer backs it up when it is"
        except FilesError:
            pass  # its backup says what is wrong
    return absent


def run_backup(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """Back up to every repository."""
    done = make_backups(host)
    look(host)
    return _told(done)


def _told(done: Mapping[str, Any]) -> Answer:
    lines, wrong = [], 0
    for name, results in done.items():
        for source, result in results.items():
            wrong = wrong or int(not result["ok"])
            seconds, size = result["ended"] - result["begun"], result["size"] or 0
            lines.append(
                f"{name}: {source}: "
                + (
                    f"backed up {size / 2**20:.1f} MiB in {seconds:.1f} s, {result['added'] / 2**20:.1f} MiB of it new"
                    if result["ok"]
                    else f"FAILED: {result['message']}"
                )
            )
    return wrong, {"lines": lines, "runs": dict(done)}


def run_check(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """Read a part of every repository again, and give back the room of what is forgotten."""
    lines, wrong, parts = [], 0, host["check_parts"]
    with locked(LOCK):
        checks = read_json(CHECKS, {})
        for repository in host["repositories"]:
            name, begun = repository["name"], time.time()
            before = checks.get(name, {"since": begun, "part": 0, "stored": None})
            # The next part each time, so that all is read after as many checks as there are parts; a failed one is read again.
            part = before["part"] % parts + 1
            result = {**before, "begun": begun, "ok": True, "message": ""}
            try:
                restic.free(repository)
                restic.check(repository, part, parts)
                # Only of what is whole: prune writes data anew.
                result |= {"stored": restic.prune(repository), "part": part}
                lines.append(
                    f"{name}: whole; part {part} of {parts} was read again; {result['stored'] / 2**20:.1f} MiB stored"
                )
            except ResticError as error:
                result |= {"ok": False, "message": str(error)}
                lines.append(f"{name}: FAILED: {error}")
                wrong = 1
            checks[name] = {**result, "ended": time.time()}
            write_json(CHECKS, checks)
    look(host)
    return wrong, {"lines": lines, "checks": checks}


def run_snapshots(host: Mapping[str, Any], _unused: argparse.Namespace) -> Answer:
    """List what can be restored, oldest first."""
    seen = observe(host)
    lines = [
        f"{item.name:<10} {snapshot.source:<24} {snapshot.id[:8]}  {when(snapshot.moment)}"
        + (f"  {snapshot.size / 2**20:.1f} MiB" if snapshot.size is not None else "")
        for item in seen
        for snapshot in item.snapshots
    ]
    failed = [f"{item.name}: {item.failure}" for item in seen if item.failure]
    return int(bool(failed)), {"lines": [*lines, *failed] or ["there is none"]}


def run_restore(host: Mapping[str, Any], asked: argparse.Namespace) -> Answer:
    """Print the plan, or carry it out."""
    wanted = file_backup_restore.wanted(asked.source, asked.repository, asked.snapshot, asked.time, asked.to)
    if not asked.confirm:
        made = file_backup_restore.plan(host, observe(host), wanted)
        return 0, {**made, "lines": file_backup_restore.described(made)}
    # No backup begins while files are exchanged; one that runs is waited for.
    with locked(LOCK):
        record = file_backup_restore.execute(host, observe(host), wanted, asked.confirm)
    return 0, {
        **record,
        "lines": [
            f"restored {record['source']} to {record['target']} as it was at {when(record['moment'])}, in {record['seconds']:.1f} s",
            f"what was there before: {record['aside'] or 'nothing'}",
            f"to go back to it: {record['back']}",
        ],
    }


COMMANDS = {
    "status": run_status,
    "first": run_first,
    "backup": run_backup,
    "check": run_check,
    "snapshots": run_snapshots,
    "restore": run_restore,
}


def main(words: Sequence[str]) -> int:
    """Run a command; its exit code. 0 is well, 1 is not well, 2 is: could not be done."""
    return program.answer(arguments(words), COMMANDS, file_backup_host.settings, (FilesError, ResticError))
