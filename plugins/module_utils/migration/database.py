# SPDX-License-Identifier: Apache-2.0
"""Migrations as the database has them: the tools' own records, half-applied migrations, running sessions."""

# ruff: noqa: S608 - values go into SQL through `literal`

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import environment
from ansible_collections.sluice.stack.plugins.module_utils.migration import effects as migration_effects
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import (
    TABLE,
    File,
    MigrationError,
    Status,
    application,
    compare,
)
from ansible_collections.sluice.stack.plugins.module_utils.migration.session import Connection, DatabaseError, literal
from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import Statement
from ansible_collections.sluice.stack.plugins.module_utils.migration.url import UrlError, target

# The same for both engines except for column names. Prisma's own record: https://www.prisma.io/docs/orm/prisma-migrate
_RECORDS = {
    "prisma": (
        "_prisma_migrations",
        "select migration_name as name, checksum, finished_at is not null as finished, applied_steps_count as steps, logs from {0} "
        "where rolled_back_at is null order by started_at",
    ),
    "sql": (
        TABLE,
        "select name, checksum, finished_at is not null as finished, steps, null as logs from {0} order by started_at",
    ),
}
_INVALID = (
    "select i.indexrelid::regclass::text as name from pg_index i where not i.indisvalid "
    "and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)"
)
# How long a server may take, with the parameters of `settings`, to notice that its client is gone and to roll back.
_ORPHAN_SECONDS = 30


def url_of(manifest: Mapping[str, Any], values: Mapping[str, str]) -> str | None:
    """Return the URL of the database to migrate, from the service's environment and secrets; None without one."""
    migration = manifest["migration"]
    service = manifest["services"][migration["service"]]
    return environment(service, values).get(migration["database"])


def connect(manifest: Mapping[str, Any], url: str, read_file: Callable[[str], bytes]) -> Connection:
    """Connect to the database; raises MigrationError that names the variable of the URL.

    ``read_file`` returns a file of the service's image, for certificates named in the URL; raises FileNotFoundError.
    """
    migration = manifest["migration"]
    try:
        return Connection(target(url, migration["engine"] == "prisma"), read_file)
    except (UrlError, DatabaseError) as error:
        raise MigrationError(
            f"the database of the migration, {migration['database']} of service {migration['service']}: {error}"
        ) from error


def read(connection: Connection, engine: str, url: str, files: Sequence[File]) -> Status:
    """Return the status of the image's migrations in the database."""
    _unused, select = _RECORDS[engine]
    name = _record(engine, url)
    there = connection.query(f"select to_regclass({literal(name)}) is not null as there")[0]["there"]
    rows = connection.query(select.format(name)) if there else []
    invalid = [str(row["name"]) for row in connection.query(_INVALID)]
    return compare(files, rows, invalid)


def _record(engine: str, url: str) -> str:
    """Return the table of an engine's record; Prisma takes the schema from the URL."""
    schema = dict(parse_qsl(urlsplit(url).query)).get("schema", "public")
    return '"' + schema.replace('"', '""') + f'"."{_RECORDS[engine][0]}"'


def note(connection: Connection, url: str, file: File, how: str) -> None:
    """Record in Prisma's table how a failed migration was resolved: ``rolled_back`` or ``applied``.

    Like ``prisma migrate resolve``, which needs the native engine for ``rolled_back``, and that may not be in the image.
    """
    table, name = _record("prisma", url), literal(file.name)
    ended = f"update {table} set rolled_back_at = now() where migration_name = {name} and finished_at is null and rolled_back_at is null"
    row = f"{literal(str(uuid.uuid4()))}, {literal(file.checksum)}, {name}, now(), now(), 0"
    done = f"insert into {table} (id, checksum, migration_name, started_at, finished_at, applied_steps_count) values ({row})"
    connection.query(f"{ended}; {done}" if how == "applied" else ended)  # both in one transaction


def effects(connection: Connection, sql: str) -> tuple[list[Statement], list[bool | None]]:
    """Return the statements of a migration, and whether the effect of each is in the database."""
    statements, question = migration_effects.question(sql)
    row = connection.query(question)[0] if statements else {}
    return statements, [row[f"s{index}"] for index in range(len(statements))]


def wait_for_orphans(connection: Connection, app: str, beat: Callable[[], None]) -> None:
    """Wait for sessions of an earlier attempt whose client is gone; the server may still be running their query."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    query = (
        "select pid, state, left(query, 200) as query from pg_stat_activity where pid <> pg_backend_pid() "
        f"and datname = current_database() and application_name = {literal(application(app))} and state <> 'idle'"
    )
    while rows := connection.query(query):
        if time.monotonic() > deadline:
            one = rows[0]
            raise MigrationError(
                f"an earlier migration is still running in the database, process {one['pid']}: {one['query']}; wait for it, or end it "
                f"with: select pg_terminate_backend({one['pid']})"
            )
        beat()
        time.sleep(0.5)
