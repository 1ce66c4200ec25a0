# SPDX-License-Identifier: Apache-2.0
"""Run a migration tool in a release's own image: in a container with a fixed name, so that only one runs at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, one_off
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, NotFound
from ansible_collections.sluice.stack.plugins.module_utils.migration import database
from ansible_collections.sluice.stack.plugins.module_utils.migration import effects as migration_effects
from ansible_collections.sluice.stack.plugins.module_utils.migration import files as migration
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import File, MigrationError, Status
from ansible_collections.sluice.stack.plugins.module_utils.migration.session import Connection
from ansible_collections.sluice.stack.plugins.module_utils.migration.url import with_options

BACK_OFF = (1, 2, 4, 8, 15)  # seconds between two attempts; the last one repeats


@dataclass(frozen=True)
class Job:
    """One release's migration, on this host."""

    engine: Engine
    manifest: Mapping[str, Any]
    slot: str
    values: Mapping[str, str]  # secrets, by name
    effect: Callable[
        [], AbstractContextManager[None]
    ]  # checks that this run holds the lease, and holds the host's lock
    kind: str = "migration"  # or another, with containers of its own

    @property
    def settings(self) -> Mapping[str, Any]:
        """The contract's ``app_migration``."""
        found: Mapping[str, Any] = self.manifest["migration"]
        return found

    @property
    def name(self) -> str:
        """The container's name."""
        return f"{self.manifest['app']}-{self.kind}"

    @property
    def image(self) -> str:
        """The image with the migrations."""
        return str(self.manifest["services"][self.settings["service"]]["image"])

    def beat(self) -> None:
        """Check that this run still holds the lease; raises otherwise."""
        with self.effect():
            pass

    @property
    def url(self) -> str | None:
        """The database's URL."""
        return database.url_of(self.manifest, self.values)


def read_files(job: Job, image: str) -> list[File]:
    """Read the migrations of an image."""
    folder = migration.folder(job.settings)
    if folder is None:
        return []
    path = _absolute(job, image, folder)
    try:
        with _unstarted(job, image) as name:
            return migration.read_files(job.settings["engine"], job.engine.archive(name, path))
    except NotFound as error:
        raise MigrationError(
            f"image {image} has no {path}: set app_migration.path to the directory of the migrations in the image"
        ) from error


def read_file(job: Job, path: str) -> bytes:
    """Read a file of the migration's image. Raises FileNotFoundError."""
    place = _absolute(job, job.image, path)
    try:
        with _unstarted(job, job.image) as name:
            for _unused in range(5):  # the engine returns a link as a link
                content = migration.file_in(job.engine.archive(name, place))
                if isinstance(content, bytes):
                    return content
                if content:
                    place = os.path.normpath(os.path.join(os.path.dirname(place), content))
    except NotFound:
        pass
    raise FileNotFoundError(f"image {job.image} has no file {place}")


def _absolute(job: Job, image: str, path: str) -> str:
    """Resolve a path in an image against its working directory."""
    if path.startswith("/"):
        return path
    base = job.engine.get(f"/images/{image}/json")["Config"].get("WorkingDir") or "/"
    return f"{base.rstrip('/')}/{path}"


@contextmanager
def _unstarted(job: Job, image: str) -> Iterator[str]:
    """Create a container that is never started, to read an image's files; yields its name."""
    name = f"{job.name}-files"
    docker_host.remove(job.engine, name, force=True)  # left by a run that died
    job.engine.post(
        "/containers/create", {"Image": image, "Cmd": ["-"], "HostConfig": {"NetworkMode": "none"}}, name=name
    )
    try:
        yield name
    finally:
        docker_host.remove(job.engine, name, force=True)


def attend(job: Job) -> bool:
    """Wait for a migration that an earlier run started here and that still runs; returns whether there was one."""
    found = one_off.find(job.engine, job.name)
    if found and found["running"]:
        one_off.wait(job.engine, job.name, job.settings["timeout"], job.beat)
    if found:
        with job.effect():
            docker_host.remove(job.engine, job.name)
    return bool(found and found["running"])


def run(job: Job, command: list[str], version: int) -> tuple[int, str]:
    """Run a command of the tool under the timeouts; returns its exit code and output. ``version`` is the server's."""
    item = one_off.wanted(job.manifest, job.settings["service"], job.name, command, job.slot, job.values)
    limits = migration.settings(
        job.settings["lock_timeout"],
        job.settings["statement_timeout"] or job.settings["timeout"],
        job.manifest["app"],
        version,
    )
    # libpq and node-postgres read PGOPTIONS. Prisma's engine reads only the URL, where some other tools ignore options.
    item["environment"]["PGOPTIONS"] = " ".join(f"-c {name}={value}" for name, value in limits.items())
    if job.url and job.settings["engine"] == "prisma":
        item["environment"][job.settings["database"]] = with_options(job.url, limits)
    with job.effect():
        one_off.start(job.engine, item, job.manifest["app"])
    code, output = one_off.wait(job.engine, job.name, job.settings["timeout"], job.beat)
    with job.effect():
        docker_host.remove(job.engine, job.name)
    return code, output


def repeat(
    job: Job, attempt: Callable[[], tuple[int, str]], repair: Callable[[], None], what: str = "migration"
) -> tuple[list[str], int]:
    """Attempt a migration, again after each lock timeout with a growing pause. Returns the output and the number of attempts.

    ``repair`` makes the next attempt possible; it raises when only the operator can. Raises MigrationError.
    """
    engine, limit = job.settings["engine"], int(job.settings["retries"]) + 1
    for number in range(1, limit + 1):
        code, output = attempt()
        if not code:
            return output.splitlines(), number
        waited = migration.is_lock_timeout(output)
        tail = "\n".join(f"    {line}" for line in output.rstrip().splitlines()[-25:])
        if not waited or number == limit:
            more = (
                f": it waited more than app_migration.lock_timeout ({job.settings['lock_timeout']:g} s) for a lock, {number} times. No "
                "queries wait behind it now; run the same command again when the table is less busy"
            )
            if waited:
                repair()
            raise MigrationError(
                f"{engine} {what} of {job.manifest['id']} failed with exit code {code}{more if waited else ''}:\n{tail}"
            )
        repair()
        _pause(BACK_OFF[min(number, len(BACK_OFF)) - 1], job.beat)
    raise AssertionError  # the loop ends in one of the two ways above


def _pause(seconds: float, beat: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        beat()
        time.sleep(min(left, 2))


def recover(job: Job, connection: Connection, files: list[File], status: Status) -> None:
    """Resolve what an earlier attempt with Prisma left unfinished; raises when only the operator can.

    Prisma refuses to continue after a failed migration, and does not know how far it got. If the first statement had no effect, no
    later one ran either, and the migration is recorded as rolled back.
    """
    known = {one.name: one for one in files}
    for name in status.failed:
        if name not in known:
            raise MigrationError(
                f"migration {name} failed in this database and is not in the image: deploy the version that has it"
            )
        database.wait_for_orphans(connection, job.manifest["app"], job.beat)
        statements, effects = database.effects(connection, known[name].sql)
        _check_invalid(known[name], status)
        # A single statement that waited too long for a lock did nothing, even if it would leave no trace.
        alone = len(statements) == 1 and migration.is_lock_timeout(str(status.details[name].get("logs") or ""))
        if statements and not alone and not migration_effects.clean(statements, effects):
            raise MigrationError(
                f"{migration_effects.open_question(name, statements, effects)}. Check the database, finish or revert it by hand, then run the same command "
                "with -e release_migration_resolve=applied, or =rolled_back"
            )
        database.note(connection, str(job.url), known[name], "rolled_back")


def how_far(job: Job, connection: Connection, files: list[File]) -> str:
    """Describe how much of a failed migration is applied; empty without one, or while its session still runs."""
    status = database.read(connection, "prisma", str(job.url), files)
    for file in files:
        if file.name in status.failed:
            database.wait_for_orphans(connection, job.manifest["app"], job.beat)
            statements, effects = database.effects(connection, file.sql)
            if migration_effects.clean(statements, effects):
                return f"Nothing of migration {file.name} is in the database: run the same command again"
            text = migration_effects.open_question(file.name, statements, effects)
            return f"{text[0].upper()}{text[1:]}"
    return ""


def _check_invalid(file: File, status: Status) -> None:
    """Refuse an invalid index of a failed concurrent build: it blocks the next build, or IF NOT EXISTS skips it."""
    for index in status.invalid_indexes:
        if index.split(".")[-1].strip('"') in file.sql:
            raise MigrationError(
                f"index {index} is invalid: a concurrent build of it failed, and migration {file.name} builds it. Remove it with: "
                f"DROP INDEX CONCURRENTLY {index}; then run the same command again"
            )


def check_indexes(files: list[File], status: Status) -> None:
    """Refuse to start when a pending migration would hit an invalid index."""
    for file in files:
        if file.name in status.pending:
            _check_invalid(file, status)
