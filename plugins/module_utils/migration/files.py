# SPDX-License-Identifier: Apache-2.0
"""Migrations as plain data: the files an image brings, what the database has of them, and how a tool is called. Pure."""

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
# Where the engine `sql` records what it has done.
TABLE = "sluice_migrations"


class MigrationError(Exception):
    """A migration cannot be run, failed, or left something a person must decide about; the message says what to do."""


@dataclass(frozen=True)
class File:
    """One migration of an image."""

    name: str
    sql: str
    down: str | None = None

    @property
    def checksum(self) -> str:
        """As Prisma has it: SHA-256 over the file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def in_transaction(self, engine: str) -> bool:
        """Whether its statements run as one transaction. Prisma sends a file whole, which Postgres takes as one."""
        return len(split(self.sql)) > 1 if engine == "prisma" else "no-transaction" not in marks(self.sql)


@dataclass(frozen=True)
class Status:
    """What the database has of an image's migrations, each by name, oldest first."""

    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()  # begun, and neither finished nor rolled back
    edited: tuple[str, ...] = ()  # applied, and the file is another one now
    unknown: tuple[str, ...] = ()  # applied, and not in the image
    invalid_indexes: tuple[str, ...] = ()  # left by a concurrent build that failed
    details: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # of what failed: steps done, the tool's words

    def as_data(self) -> dict[str, list[str]]:
        """For a module's result."""
        names = ("applied", "pending", "failed", "edited", "unknown", "invalid_indexes")
        return {name: list(getattr(self, name)) for name in names}


def command(migration: Mapping[str, Any]) -> list[str]:
    """The command that applies what is pending, and nothing when nothing is.

    For prisma never ``migrate dev`` or ``migrate reset``: they may drop data (Prisma's documentation, "Development and
    production").
    """
    return list(migration["command"] or PRISMA)


def folder(migration: Mapping[str, Any]) -> str | None:
    """Where an image has its migrations; None for a tool that keeps them to itself."""
    return migration.get("path") or (PRISMA_PATH if migration["engine"] == "prisma" else None)


def read_files(engine: str, archive: bytes) -> list[File]:
    """The migrations in a tar of their directory, in the order they are applied in, which is that of their names."""
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
    """The contents of the one file in a tar, or its target when it is a link; empty text for anything else."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = next(iter(tar))
        content = tar.extractfile(member) if member.isfile() else None
        return content.read() if content else member.linkname


def _stem(path: str) -> str:
    return re.sub(r"(?:\.up|\.down)?\.sql$", "", path)


def compare(files: Sequence[File], rows: Iterable[Mapping[str, Any]], invalid_indexes: Iterable[str] = ()) -> Status:
    """What an image brings against what the database's own record says.

    ``rows`` have name, checksum, finished (true or false), steps and logs; rows of what was rolled back are left out.
    """
    done: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        # Prisma begins a new row for each attempt; one that finished counts.
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
    """The names a tool's status command printed, one in each line."""
    return [line.strip() for line in output.splitlines() if line.strip()]


def contracts(files: Sequence[File], applied: Iterable[str]) -> list[str]:
    """The applied migrations that are the contract half of a pair: a release from before them cannot be gone back to."""
    there = set(applied)
    return [one.name for one in files if one.name in there and "contract" in marks(one.sql)]


def is_lock_timeout(output: str) -> bool:
    """Whether a tool failed because it waited too long for a lock: SQLSTATE 55P03, in code or in Postgres' words."""
    return "55P03" in output or "due to lock timeout" in output


def settings(lock_timeout: float, statement_timeout: float, app: str, version: int) -> dict[str, str]:
    """The session settings a migration runs under; ``version`` is the server's."""
    found = {
        "lock_timeout": f"{int(lock_timeout * 1000)}ms",
        "statement_timeout": f"{int(statement_timeout * 1000)}ms",
        "application_name": application(app),
    }
    # A server that works for a client that is gone finds out, and stops. From Postgres 14 on.
    return found | ({"client_connection_check_interval": "2000ms"} if version >= 14 else {})


def application(app: str) -> str:
    """How a migration's sessions name themselves."""
    return f"sluice-{app}-migration"
