# SPDX-License-Identifier: Apache-2.0
"""Migrations as plain data: the files of an image, their status in the database, and the tool's command. Pure."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.migration.gate import marks
from ansible_collections.sluice.stack.plugins.module_utils.migration.sql_text import split

PRISMA = ["node_modules/.bin/prisma", "migrate", "deploy"]
PRISMA_PATH = "prisma/migrations"
# The record of the engine `sql`.
TABLE = "sluice_migrations"


class MigrationError(Exception):
    """A migration cannot run, failed, or needs a decision of the operator; the message says what to do."""


@dataclass(frozen=True)
class File:
    """One migration of an image."""

    name: str
    sql: str
    down: str | None = None

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, as Prisma records it."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def in_transaction(self, engine: str) -> bool:
        """Whether its statements run as one transaction. Prisma sends a file in one query, which Postgres runs as one transaction."""
        return len(split(self.sql)) > 1 if engine == "prisma" else "no-transaction" not in marks(self.sql)


@dataclass(frozen=True)
class Status:
    """The status of an image's migrations in the database, by name, oldest first."""

    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()  # started, and neither finished nor rolled back
    edited: tuple[str, ...] = ()  # applied, and the file has changed since
    unknown: tuple[str, ...] = ()  # applied, but not in the image
    invalid_indexes: tuple[str, ...] = ()  # left by a concurrent build that failed
    details: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # of failed migrations: steps done, the tool's output

    def as_data(self) -> dict[str, list[str]]:
        """Return plain data for a module's result."""
        names = ("applied", "pending", "failed", "edited", "unknown", "invalid_indexes")
        return {name: list(getattr(self, name)) for name in names}


def command(migration: Mapping[str, Any]) -> list[str]:
    """Return the command that applies pending migrations, and does nothing without any.

    Never prisma's ``migrate dev`` or ``migrate reset``: they may drop data (Prisma's documentation, "Development and
    production").
    """
    return list(migration["command"] or PRISMA)


def folder(migration: Mapping[str, Any]) -> str | None:
    """Return the directory of the migrations in the image; None for a tool without files to read."""
    return migration.get("path") or (PRISMA_PATH if migration["engine"] == "prisma" else None)


def read_files(engine: str, archive: bytes) -> list[File]:
    """Read the migrations from a tar of their directory, in the order they are applied, by name."""
    texts: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() and member.name.endswith(".sql") else None
            if content:
                texts[member.name.partition("/")[2]] = content.read().decode(errors="replace")
    if engine == "prisma":
        found = [File(path.partition("/")[0], text) for path, text in texts.items() if path.endswith("/migration.sql")]
    else:
        downs = {_stem(path): text for path, text in texts.items() if path.endswith(".down.sql")}
        ups = [path for path in texts if not path.endswith(".down.sql")]
        found = [File(_stem(path), texts[path], downs.get(_stem(path))) for path in ups]
    return sorted(found, key=lambda one: one.name)


def file_in(archive: bytes) -> bytes | str:
    """Return the contents of the one file in a tar, or its target when it is a link; an empty string for anything else."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = next(iter(tar))
        content = tar.extractfile(member) if member.isfile() else None
        return content.read() if content else member.linkname


def _stem(path: str) -> str:
    return re.sub(r"(?:\.up|\.down)?\.sql$", "", path)


def compare(files: Sequence[File], rows: Iterable[Mapping[str, Any]], invalid_indexes: Iterable[str] = ()) -> Status:
    """Compare an image's migrations with the database's record.

    ``rows`` have name, checksum, finished (true or false), steps and logs; without rows that were rolled back.
    """
    done: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        # Prisma adds a row for each attempt; a finished one counts.
        if row["name"] not in done or row["finished"]:
            done[row["name"]] = row
    known = {one.name: one for one in files}
    applied = [name for name, row in done.items() if row["finished"]]
    failed = [name for name, row in done.items() if not row["finished"]]
    return Status(
        applied=tuple(sorted(applied)),
        pending=tuple(one.name for one in files if one.name not in applied),
        failed=tuple(sorted(failed)),
        edited=tuple(
            sorted(name for name in applied if name in known and done[name]["checksum"] != known[name].checksum)
        ),
        unknown=tuple(sorted(name for name in applied if name not in known)),
        invalid_indexes=tuple(invalid_indexes),
        details={name: done[name] for name in failed},
    )


def pending_lines(output: str) -> list[str]:
    """Parse the output of a tool's status command: one name in each line."""
    return [line.strip() for line in output.splitlines() if line.strip()]


def contracts(files: Sequence[File], applied: Iterable[str]) -> list[str]:
    """Return the applied destructive migrations: a rollback to an earlier release is not safe."""
    there = set(applied)
    return [one.name for one in files if one.name in there and "contract" in marks(one.sql)]


def is_lock_timeout(output: str) -> bool:
    """Whether a tool failed because it waited too long for a lock: SQLSTATE 55P03, as a code or as Postgres' message."""
    return "55P03" in output or "due to lock timeout" in output


def settings(lock_timeout: float, statement_timeout: float, app: str, version: int) -> dict[str, str]:
    """Return the session settings of a migration; ``version`` is the server's."""
    found = {
        "lock_timeout": f"{int(lock_timeout * 1000)}ms",
        "statement_timeout": f"{int(statement_timeout * 1000)}ms",
        "application_name": application(app),
    }
    # A server cancels the query of a client that is gone. From Postgres 14 on.
    return found | ({"client_connection_check_interval": "2000ms"} if version >= 14 else {})


def application(app: str) -> str:
    """Return the application_name of a migration's sessions."""
    return f"sluice-{app}-migration"
