# SPDX-License-Identifier: Apache-2.0
"""The program of a host's backups: what timers start, playbooks call and people run. See docs/backup.md.

The commands that every engine has are here; what an engine does in its own way is its Engine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup import status
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import require_confirmed
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_atomic, write_json

Host = Mapping[str, Any]
Asked = argparse.Namespace
Answer = tuple[int, dict[str, Any]]  # an exit code; data, of which ``lines`` are for people
Command = Callable[[Host, Asked], Answer]


class Job(NamedTuple):
    """One backup to make: to a place (status.place), by ``work``, which returns what it measured. Raises HostError."""

    where: str
    kind: str
    work: Callable[[], Mapping[str, Any]]


class Prepared(NamedTuple):
    """What was done and what is wrong with repositories, a line each; and sources that do not exist yet."""

    lines: list[str]
    failed: list[str]
    absent: Collection[str] = ()


class Engine(NamedTuple):
    """One way to make backups: what it does in its own way. Every function may raise HostError."""

    program: str  # the command's name
    about: str  # for --help
    state: str  # its directory
    metrics: str  # how the names of its metrics begin, and the name of the file they are in
    confirms: str  # the variable by which a playbook confirms a restore
    backups: Mapping[str, str]  # the commands that make backups, and the help of each
    settings: Callable[[], Host]  # what the role wrote about this host
    # Adds the options of a restore, and commands of its own, which are returned.
    arguments: Callable[[Any, argparse.ArgumentParser], Mapping[str, Command]]
    skips: Callable[[Host], str]  # why nothing is backed up here; empty when it is
    prepare: Callable[[Host], Prepared]  # sees that every repository can be used
    repositories: Callable[[Host], Sequence[Repository]]  # one that does not answer has a ``failure``
    jobs: Callable[[Host, Asked], Iterable[Job]]  # the backups of a run
    observe: Callable[[Host, float], status.Observed]  # what the status is judged from, now
    plan: Callable[[Host, Asked], dict[str, Any]]  # of a restore: ``id``, and what the next two need
    describe: Callable[[Mapping[str, Any]], list[str]]  # the plan for people
    restore: Callable[[Host, Mapping[str, Any]], dict[str, Any]]  # executes it: ``lines``, ``aside``, ``revert``


def look(engine: Engine, host: Host) -> dict[str, Any]:
    """Return the status as data; writes the metrics."""
    now = time.time()
    seen, runs = engine.observe(host, now), read_json(os.path.join(engine.state, "runs.json"), {})
    problems = [*status.problems(host, seen.repositories, runs, now), *seen.problems]
    publish(host, engine.metrics, status.metrics(engine.metrics, host, seen, runs, problems, now))
    return {
        "problems": problems,
        "lines": status.described(host, seen, runs, problems, now),
        "repositories": [item.as_data() for item in seen.repositories],
        **seen.data,
    }


def publish(host: Host, name: str, text: str) -> None:
    """Write metrics where the node exporter's textfile collector reads them."""
    write_atomic(os.path.join(host["textfile"], f"{name}.prom"), text, mode=0o644)


def _first(engine: Engine, host: Host, asked: Asked) -> Answer:
    if engine.skips(host):
        return 0, {"lines": [engine.skips(host)]}
    lines, failed, absent = engine.prepare(host)
    missing = {
        status.place(repository.name, source)
        for repository in engine.repositories(host)
        # An empty one of pgBackRest's counts as a failure, too.
        if repository.failure is None or repository.failure.kind == "absent"
        for source in status.sources(host)
        if source not in absent and not repository.of(source).backups
    }
    code, made = _back_up(engine, host, asked, missing) if missing else (0, {"lines": []})
    if not missing:
        look(engine, host)
    lines = [*lines, *made["lines"], *failed]
    return int(bool(code or failed)), {"lines": lines or ["every repository can be used and has a backup"]}


def _back_up(engine: Engine, host: Host, asked: Asked, only: Collection[str] | None = None) -> Answer:
    if engine.skips(host):
        return 0, {"lines": [engine.skips(host)]}
    with locked(os.path.join(engine.state, "backup.lock")):
        jobs = engine.jobs(host, asked)
        runs = {job.where: _run(engine, job) for job in jobs if only is None or job.where in only}
    look(engine, host)
    lines = [f"{where}: {_described(run)}" for where, run in runs.items()]
    return int(not all(run["ok"] for run in runs.values())), {"lines": lines, "runs": runs}


def _run(engine: Engine, job: Job) -> dict[str, Any]:
    """The result of a job, which is also kept. A failure is in it, so that it does not keep the next job from its backup."""
    path = os.path.join(engine.state, "runs.json")
    runs, begun, message = read_json(path, {}), time.time(), ""
    # What is stored stays so when nothing is added.
    measured = {"stored": runs.get(job.where, {}).get("stored")}
    try:
        measured |= job.work()
    except HostError as error:
        message = str(error)
    result = {"kind": job.kind, "ok": not message, "message": message, "begun": begun, "ended": time.time(), **measured}
    write_json(path, {**runs, job.where: result})
    return result


def _described(run: Mapping[str, Any]) -> str:
    if not run["ok"]:
        return f"FAILED: {run['message']}"
    size = f" {run['size'] / 2**20:.1f} MiB" if run.get("size") is not None else ""
    new = f", {run['added'] / 2**20:.1f} MiB of it new" if run.get("added") is not None else ""
    return f"backed up{size} in {run['ended'] - run['begun']:.1f} s{new}"


def _restore(engine: Engine, host: Host, asked: Asked) -> Answer:
    plan = engine.plan(host, asked)
    if not asked.confirm:
        return 0, {**plan, "lines": engine.describe(plan)}
    require_confirmed(plan, asked.confirm, engine.confirms)
    record = engine.restore(host, plan)
    lines = [*record["lines"], f"previous data: {record['aside'] or 'none'}", f"to revert: {record['revert']}"]
    if record.get("heartbeat"):
        lines.insert(1, f"the last heartbeat in the restored data is of {status.when(record['heartbeat'])}")
    return 0, {**record, "lines": lines}


def main(engine: Engine, words: Sequence[str]) -> int:
    """Run a command and print its answer; its exit code: 0 healthy or done, 1 not healthy, 2 it could not be done."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog=engine.program, description=engine.about)
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "status", help="show backups and problems, write the metrics; exit code 1 when there is a problem"
    )
    commands.add_parser("first", help="see that every repository can be used, and make the backups that are missing")
    restore = commands.add_parser("restore", help="print the plan of a restore, or execute it when it is confirmed")
    restore.add_argument("--repository", default="", help="from this one; else the first that has what is needed")
    restore.add_argument("--confirm", default="", help="the id of the plan to execute")

    def run_status(host: Host, _unused: Asked) -> Answer:
        found = look(engine, host)
        return int(bool(found["problems"])), found

    run: dict[str, Command] = {
        "status": run_status,
        "first": lambda host, asked: _first(engine, host, asked),
        "restore": lambda host, asked: _restore(engine, host, asked),
    }
    for name, text in engine.backups.items():
        commands.add_parser(name, help=text)
        run[name] = lambda host, asked: _back_up(engine, host, asked)
    run |= engine.arguments(commands, restore)
    asked = parser.parse_args(words)
    try:
        code, found = run[asked.command](engine.settings(), asked)
    except (HostError, OSError) as error:
        code, found = 2, {"failed": str(error), "lines": [str(error)]}
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        (sys.stderr if code == 2 else sys.stdout).write("\n".join(found["lines"]) + "\n")
    return code
