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
# Two runs wait for each other at the database, whatever hosts they are on. A number that is ours.
_LOCK = 7_108_117_105


def prepare(connection: Connection, limits: dict[str, str], seconds: float, beat: Callable[[], None]) -> None:
    """Have the record's table, the session's limits, and the lock that keeps other runs out."""
    lock(connection, seconds, beat)
    if connection.query(f"select to_regclass({literal(TABLE)}) is null as missing")[0]["missing"]:
        connection.query(_CREATE)
    for name, value in limits.items():
        connection.query(f"set {name} = {literal(value)}")


def lock(connection: Connection, seconds: float, beat: Callable[[], None]) -> None:
    """Wait for runs that are at work, and keep others out until the connection is closed."""
    connection.query(f"select pg_advisory_lock({_LOCK})", seconds, beat)


def apply(
    connection: Connection, file: File, status: Status, seconds: float, beat: Callable[[], None]
) -> tuple[int, str]:
    """Run one file; 0 or 1 and what Postgres said, as a tool would. A file in a transaction is there with its record, or not at all."""
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
    """Run the statements one by one, with a record of each; goes on where an earlier attempt ended."""
    this = f"where name = {literal(file.name)}"
    row = connection.query(f"select steps, underway from {TABLE} {this}")[0]
    done = int(row["steps"])
    statements, effects = database.effects(connection, file.sql)
    if row["underway"]:
        # The run that sent it died: whether it ended is in the catalogue, or nowhere.
        if effects[done] is None:
            told = [True] * done + effects[done:]
            raise MigrationError(
                f"{migration_effects.open_question(file.name, statements, told)}. Look at the database, and say how many are there: "
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
            if error.sqlstate:  # refused, so it did nothing
                connection.query(f"update {TABLE} set underway = false {this}")
            raise
    connection.query(
        f"update {TABLE} set steps = {len(statements)}, underway = false, finished_at = clock_timestamp() {this}"
    )


def require_down(file: File) -> str:
    """A file's other half. Raises MigrationError when the image has none."""
    if file.down is None:
        raise MigrationError(
            f"migration {file.name} has no down file ({file.name}.down.sql) in the image: restore instead"
        )
    return file.down


def revert(connection: Connection, file: File, seconds: float, beat: Callable[[], None]) -> tuple[int, str]:
    """Run a file's other half, and forget that the file was applied, in one transaction; 0 or 1 and what Postgres said."""
    try:
        forget = f"delete from {TABLE} where name = {literal(file.name)}"
        _in_transaction(connection, [require_down(file), forget], seconds, beat)
    except DatabaseError as error:
        return 1, f"{file.name}.down.sql: {error}; nothing of it was done"
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
    """``beat`` while a statement runs: it runs to its end although the run has lost the app.

    Whether a statement that was cut off had its effect would be an open question. The ``beat`` after it raises.
    """

    def quiet() -> None:
        with contextlib.suppress(LeaseError):
            beat()

    return quiet
