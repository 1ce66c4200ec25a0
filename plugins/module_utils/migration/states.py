# SPDX-License-Identifier: Apache-2.0
"""The states of the module ``db_migration``, for every engine: status, plan, apply, roll back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.migration import database, sql, tool
from ansible_collections.sluice.stack.plugins.module_utils.migration import files as migration
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import File, MigrationError, Status
from ansible_collections.sluice.stack.plugins.module_utils.migration.gate import marks
from ansible_collections.sluice.stack.plugins.module_utils.migration.session import Connection
from ansible_collections.sluice.stack.plugins.module_utils.migration.tool import Job

Result = dict[str, Any]
NOTHING: Result = {
    "known": False,
    "status": Status().as_data(),
    "pending": [],
    "released": [],
    "contracts": [],
    "applied": [],
    "revert": [],
    "left": [],
    "reverted": [],
    "attached": False,
    "attempts": 0,
    "output": [],
}


def read_status(job: Job, *, strict: bool = False) -> Result:
    """Return the status of the image's migrations; ``strict``: raises MigrationError unless all are applied and unchanged."""
    return _read(job, strict=strict)[0]


def _read(job: Job, *, strict: bool = False) -> tuple[Result, list[File]]:
    if job.settings["engine"] == "command":
        return _status_by_command(job, strict=strict), []
    files = tool.read_files(job, job.image)
    with closing(_connect(job)) as connection:
        status = _status(job, connection, files)
    if strict and (status.pending or status.edited or status.invalid_indexes):
        wrong = "; ".join(
            f"{word}: {', '.join(names)}"
            for word, names in (
                ("failed", status.failed),
                ("pending", [name for name in status.pending if name not in status.failed]),
                ("edited since they were applied", status.edited),
                ("invalid indexes", status.invalid_indexes),
            )
            if names
        )
        raise MigrationError(f"the database is not what image {job.image} expects: {wrong}")
    result = {"known": True, "status": status.as_data(), "contracts": migration.contracts(files, status.applied)}
    return result, files


def schema_check(job: Job, *, wait: bool) -> Result:
    """Return the status of an earlier release's migrations; raises MigrationError when some are no longer applied.

    A tool without a status passes, and problems of applied migrations are ignored. ``wait``: until a run that is reverting some, and
    has lost the lease, has finished the current one.
    """
    if wait and job.settings["engine"] == "sql":
        with closing(_connect(job)) as connection:
            sql.lock(connection, job.settings["timeout"], job.beat)
            found = read_status(job)
    else:
        found = read_status(job)
    missing = found.get("status", {}).get("pending", [])
    if missing:
        release, version = job.manifest["id"], job.manifest["version"]
        raise MigrationError(
            f"release {release} expects migration {', '.join(missing)}, which is no longer in the database: it was reverted, or the data "
            f"was restored. Deploy version {version} again to apply it, or roll back to an earlier release with -e release_to=..."
        )
    return found


def plan(job: Job, live_image: str, *, wait: bool) -> Result:
    """Return the pending migrations with their SQL, and the applied ones that the live release brought too.

    ``wait``: until a migration that an earlier run started has ended, whose controller died. What is pending then stays pending, and
    no restore point falls into the middle of it.
    """
    if wait and job.settings["engine"] == "sql":
        with closing(_connect(job)) as connection:
            sql.lock(connection, job.settings["timeout"], job.beat)
    elif wait:
        tool.attend(job)
    found, files = _read(job)
    waiting = [one for one in files if one.name in found["status"]["pending"]]
    engine = job.settings["engine"]
    pending = [
        {
            "name": one.name,
            "sql": one.sql,
            "in_transaction": one.in_transaction(engine),
            "has_down": one.down is not None,
        }
        for one in waiting
    ]
    # Only a contract migration needs it.
    marked = any("contract" in marks(one.sql) for one in waiting)
    if marked and live_image and not docker_host.has_image(job.engine, live_image):
        raise MigrationError(
            f"image {live_image} of the live release is not on this host, so its migrations are unknown"
        )
    served = {one.name for one in tool.read_files(job, live_image)} if marked and live_image else set()
    released = [name for name in found["status"]["applied"] if name in served]
    # Pending migrations count: they are in the ledger before they are in the database.
    contracts = migration.contracts(files, [*found["status"]["applied"], *found["status"]["pending"]])
    return {**found, "pending": pending, "released": released, "contracts": contracts}


def apply(job: Job, resolve: str) -> Result:
    """Apply what is pending; raises MigrationError when it fails, or needs a decision first."""
    attached = tool.attend(job)
    if job.settings["engine"] == "command":
        version = _version(job)
        output, attempts = tool.repeat(
            job, lambda: tool.run(job, migration.command(job.settings), version), lambda: None
        )
        return {"changed": True, "output": output, "attempts": attempts, "attached": attached}
    files = tool.read_files(job, job.image)
    with closing(_connect(job)) as connection:
        before = _status(job, connection, files)
        tool.check_indexes(files, before)
        work = _apply_files if job.settings["engine"] == "sql" else _apply_prisma
        output, attempts = work(job, connection, files, before, resolve) if before.pending or before.failed else ([], 0)
        after = _status(job, connection, files)
    done = [name for name in after.applied if name not in before.applied]
    return {
        "changed": bool(done),
        "known": True,
        "status": after.as_data(),
        "contracts": migration.contracts(files, after.applied),
        "applied": done,
        "attached": attached,
        "attempts": attempts,
        "output": output,
    }


def rollback_check(job: Job, names: Sequence[str], serving: Job | None) -> Result:
    """Return which migrations can be reverted from the image that brought them; raises MigrationError when one cannot.

    Migrations that the rollback's target brings too stay, however they came to be applied again.
    """
    if job.settings["engine"] == "command":
        return _rollback_check_by_command(job, names)
    files = tool.read_files(job, job.image)
    with closing(_connect(job)) as connection:
        status = _status(job, connection, files)
    known = {one.name: one for one in files}
    _refuse_half(status, names)
    there = [name for name in names if name in status.applied]
    brought = _brought_by(serving)
    needed = [name for name in there if name in brought]
    revert, left = (
        [name for name in there if name not in needed and (name in known) is mine] for mine in (True, False)
    )
    for name in revert:
        sql.require_down(known[name])
    return {
        "known": True,
        "status": status.as_data(),
        "revert": revert,
        "left": needed + left,
        "notes": [
            *(f"migration {name} stays: the rollback's target expects it" for name in needed),
            *(f"migration {name} stays: it is not in image {job.image}, nor is its down migration" for name in left),
        ],
    }


def _brought_by(serving: Job | None) -> set[str]:
    """Return the migrations in a release's image; none for a tool without files to read."""
    return {one.name for one in tool.read_files(serving, serving.image)} if serving else set()


def roll_back(job: Job, names: Sequence[str], serving: Job | None) -> Result:
    """Revert migrations, the last of ``names`` first; skips those no longer applied, and those that ``serving`` brings too.

    Afterwards the database must have the schema ``serving`` expects. Raises MigrationError.
    """
    needed = _brought_by(serving)
    done = _roll_back(job, [name for name in names if name not in needed])
    if serving:
        read_status(serving, strict=True)
    return {**done, "left": [name for name in names if name in needed]}


def _roll_back(job: Job, names: Sequence[str]) -> Result:
    if job.settings["engine"] == "prisma":
        raise MigrationError("prisma has no down migrations: deploy a migration that reverts it, or restore")
    attached = tool.attend(job)
    if job.settings["engine"] == "command":
        return {**_revert_by_command(job, names), "attached": attached}
    files = {one.name: one for one in tool.read_files(job, job.image)}
    foreign = [name for name in names if name not in files]
    if foreign:
        raise MigrationError(f"migration {foreign[0]} is not in image {job.image}: nothing was reverted")
    with closing(_connect(job)) as connection:
        _prepare(job, connection)
        # Under the lock that excludes other runs.
        status = _status(job, connection, list(files.values()))
        _refuse_half(status, names)
        reverted, attempts = [name for name in reversed(names) if name in status.applied], 0
        for name in reverted:
            job.beat()
            _unused, tries = tool.repeat(
                job,
                partial(sql.revert, connection, files[name], job.settings["timeout"], job.beat),
                lambda: None,
                "reverting a migration",
            )
            attempts = max(attempts, tries)
        after = _status(job, connection, list(files.values()))
    return {
        "changed": bool(reverted),
        "known": True,
        "status": after.as_data(),
        "reverted": reverted,
        "attached": attached,
        "attempts": attempts,
    }


def _refuse_half(status: Status, names: Sequence[str]) -> None:
    half = [name for name in names if name in status.failed]
    if half:
        raise MigrationError(
            f"migration {half[0]} did not finish, so it cannot be reverted: finish or revert it by hand, or restore instead"
        )


def _rollback_check_by_command(job: Job, names: Sequence[str]) -> Result:
    """Return the migrations that the tool's status command does not list as pending."""
    found = _status_by_command(job, strict=False)
    pending = found.get("status", {}).get("pending", [])
    return {**found, "revert": [name for name in names if name not in pending], "left": []}


def _revert_by_command(job: Job, names: Sequence[str]) -> Result:
    down = job.settings["down"]
    if not down:
        raise MigrationError("app_migration.down is not set: set the command that reverts a migration, or restore")
    reverted = list(reversed(_rollback_check_by_command(job, names)["revert"]))
    if not reverted:
        return {"changed": False, "reverted": []}
    code, output = tool.run(job, [*down, *reverted], _version(job))
    if code:
        raise MigrationError(f"{' '.join(down)} failed with exit code {code}:\n{output}")
    return {"changed": True, "reverted": reverted, "output": output.splitlines()}


def _apply_prisma(
    job: Job, connection: Connection, files: list[File], before: Status, resolve: str
) -> tuple[list[str], int]:
    def repair() -> None:
        tool.recover(job, connection, files, _status(job, connection, files))

    if before.failed and resolve:
        for file in files:
            if file.name in before.failed:
                database.note(connection, str(job.url), file, resolve)
    elif before.failed:
        repair()
    words = migration.command(job.settings)
    try:
        return tool.repeat(job, lambda: tool.run(job, words, connection.version), repair)
    except MigrationError as error:
        raise MigrationError(_with_state(error, tool.how_far(job, connection, files))) from error


def _with_state(error: MigrationError, state: str) -> str:
    """Put the failure and the state of the database on the first line, the tool's output below."""
    first, *more = str(error).split("\n")
    return "\n".join([f"{first.rstrip(':')}. {state}" if state else first, *more])


def _apply_files(
    job: Job, connection: Connection, files: list[File], before: Status, resolve: str
) -> tuple[list[str], int]:
    if resolve:
        raise MigrationError(
            "release_migration_resolve is for the engine prisma; the message of the engine sql says what to do"
        )
    _prepare(job, connection)
    # Another run may have held the lock until now.
    before = _status(job, connection, files)
    attempts = 0
    for file in files:
        if file.name in before.pending:
            job.beat()
            _unused, tries = tool.repeat(job, _one(job, connection, file), lambda: None)
            attempts = max(attempts, tries)
    return [], attempts


def _one(job: Job, connection: Connection, file: File) -> Callable[[], tuple[int, str]]:
    """Return a function that attempts one file."""

    def attempt() -> tuple[int, str]:
        status = _status(job, connection, [file])
        return sql.apply(connection, file, status, job.settings["timeout"], job.beat)

    return attempt


def _prepare(job: Job, connection: Connection) -> None:
    seconds = job.settings["statement_timeout"] or job.settings["timeout"]
    limits = migration.settings(job.settings["lock_timeout"], seconds, job.manifest["app"], connection.version)
    sql.prepare(connection, limits, job.settings["timeout"], job.beat)


def _status_by_command(job: Job, *, strict: bool) -> Result:
    """Return the pending migrations of a tool's status command."""
    version = _version(job)
    words = job.settings["status"]
    if not words:
        return {"known": False}
    tool.attend(job)
    code, output = tool.run(job, words, version)
    if code:
        raise MigrationError(f"{' '.join(words)} failed with exit code {code}:\n{output}")
    pending = migration.pending_lines(output)
    if strict and pending:
        raise MigrationError(f"the database is not what image {job.image} expects: pending: {', '.join(pending)}")
    return {"known": True, "status": {**Status().as_data(), "pending": pending}}


def _version(job: Job) -> int:
    """Return the server's major version, when the tool's service names a database; this also tests the connection."""
    if not job.url:
        return 0
    with closing(_connect(job)) as connection:
        return connection.version


def _connect(job: Job) -> Connection:
    if not job.url:
        raise MigrationError(
            f"service {job.settings['service']} has no {job.settings['database']} in its env or secrets: app_migration.database names the "
            "variable with the database's URL"
        )
    return database.connect(job.manifest, job.url, partial(tool.read_file, job))


def _status(job: Job, connection: Connection, files: Sequence[File]) -> Status:
    return database.read(connection, job.settings["engine"], str(job.url), files)
