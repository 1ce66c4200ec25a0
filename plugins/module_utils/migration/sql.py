# SPDX-License-Identifier: Apache-2.0
"""The engine ``sql``: versioned files of an image, run from its host; no tool is needed in the image."""

# ruff: noqa: S608 - values go into SQL through `literal`

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ansible_collections.sluice.stack.plugins.module_utils.migration import database
from ansible_collections.sluice.stack.plugins.module_utils.migration import effects as migration_effects
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import TABLE, File, MigrationError, Status
from ansible_collections.sluice.stack.plugins.module_utils.migration.session import Connection, DatabaseError, literal
from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import split
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import LeaseError

_CREATE = (
    f"create table if not exists {TABLE} (name text primary key, checksum text not null, started_at timestamptz not null default now(), "
    "finished_at timestamptz, steps int not null default 0, underway boolean not null default false)"
)
# The advisory lock that runs on any hosts wait for; an arbitrary number.
_LOCK = 7_108_117_105


def prepare(connection: Connection, limits: dict[str, str], seconds: float, beat: Callable[[], None]) -> None:
    """Create the record's table, set the session's limits and take the lock that excludes other runs."""
    lock(connection, seconds, beat)
    if connection.query(f"select to_regclass({literal(TABLE)}) is null as missing")[0]["missing"]:
        connection.query(_CREATE)
    for name, value in limits.items():
        connection.query(f"set {name} = {literal(value)}")


def lock(connection: Connection, seconds: float, beat: Callable[[], None]) -> None:
    """Wait for other runs, and exclude them until the connection is closed."""
    connection.query(f"select pg_advisory_lock({_LOCK})", seconds, beat)


def apply(
    connection: Connection, file: File, status: Status, seconds: float, beat: Callable[[], None]
) -> tuple[int, str]:
    """Run one file; returns 0 or 1 and Postgres' message, like a tool. A file in a transaction is applied with its record, or not at all."""
    mine = f"{literal(file.name)}, {literal(file.checksum)}"
    try:
        if file.in_transaction("sql"):
            end = f"insert into {TABLE} (name, checksum, finished_at) values ({mine}, clock_timestamp())"
            _in_transaction(connection, [file.sql, end], seconds, beat)
        else:
            if file.name not in status.failed:
                connection.query(f"insert into {TABLE} (name, checksum) values ({mine}) on conflict (name) do nothing")
            _step_by_step(connection, file, seconds, beat)
    except DatabaseError as error:
        return 1, f"{file.name}: {error}"
    return 0, ""


def _step_by_step(connection: Connection, file: File, seconds: float, beat: Callable[[], None]) -> None:
    """Run the statements one by one, recording each; continues where an earlier attempt ended."""
    this = f"where name = {literal(file.name)}"
    row = connection.query(f"select steps, underway from {TABLE} {this}")[0]
    done = int(row["steps"])
    statements, effects = database.effects(connection, file.sql)
    if row["underway"]:
        # The run that sent it died: only the catalogue shows whether it finished.
        if effects[done] is None:
            known = [True] * done + effects[done:]
            raise MigrationError(
                f"{migration_effects.open_question(file.name, statements, known)}. Check the database, and record how many are applied: "
                f"UPDATE {TABLE} SET underway = false, steps = {done} {this} (or {done + 1}); then run the same command again"
            )
        done += 1 if effects[done] else 0
    for number in range(done, len(statements)):
        try:
            beat()
        except LeaseError:
            connection.query(f"update {TABLE} set steps = {number}, underway = false {this}")
            raise
        text = statements[number].text
        connection.query(f"update {TABLE} set steps = {number}, underway = true {this}")
        try:
            connection.query(text, seconds, _unbroken(beat))
        except DatabaseError as error:
            if error.sqlstate:  # rejected, so it had no effect
                connection.query(f"update {TABLE} set underway = false {this}")
            raise
    connection.query(
        f"update {TABLE} set steps = {len(statements)}, underway = false, finished_at = clock_timestamp() {this}"
    )


def require_down(file: File) -> str:
    """Return a file's down migration. Raises MigrationError when the image has none."""
    if file.down is None:
        raise MigrationError(
            f"migration {file.name} has no down file ({file.name}.down.sql) in the image: restore instead"
        )
    return file.down


def revert(connection: Connection, file: File, seconds: float, beat: Callable[[], None]) -> tuple[int, str]:
    """Run a file's down migration and remove its record, in one transaction; returns 0 or 1 and Postgres' message."""
    try:
        forget = f"delete from {TABLE} where name = {literal(file.name)}"
        _in_transaction(connection, [require_down(file), forget], seconds, beat)
    except DatabaseError as error:
        return 1, f"{file.name}.down.sql: {error}; it was rolled back"
    return 0, ""


def _in_transaction(connection: Connection, parts: list[str], seconds: float, beat: Callable[[], None]) -> None:
    try:
        connection.query("begin")
        for part in parts:
            if split(part):
                connection.query(part, seconds, _unbroken(beat))
        connection.query("commit")
    except DatabaseError as error:
        if error.sqlstate:
            connection.query("rollback")
        raise


def _unbroken(beat: Callable[[], None]) -> Callable[[], None]:
    """Wrap ``beat`` while a statement runs: the statement finishes even if the run has lost the lease.

    Whether an interrupted statement had its effect would be unknown. The ``beat`` after it raises.
    """

    def quiet() -> None:
        with contextlib.suppress(LeaseError):
            beat()

    return quiet
