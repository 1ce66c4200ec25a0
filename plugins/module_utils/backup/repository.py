# SPDX-License-Identifier: Apache-2.0
"""Repositories and the backups in them, whatever made these."""

from __future__ import annotations

import socket
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError

CONNECT_SECONDS = 5.0
# Failures that say nothing about the backups in the repository.
TRANSIENT = frozenset({"unreachable", "untrusted", "locked", "full"})


class Failure(NamedTuple):
    """What is wrong: ``kind`` is unreachable, untrusted, locked, full, refused, absent, key, damaged or other."""

    kind: str
    message: str


class RepositoryError(HostError):
    """A repository did not do what it was asked for."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Backup(NamedTuple):
    """A backup: pgBackRest's, a dump, or a snapshot of files. Times are epoch seconds; what an engine does not know is empty.

    What was written after ``begun`` may be missing, what was written after ``ended`` is.
    """

    label: str
    kind: str  # full, diff or incr
    begun: float
    ended: float
    size: int | None  # bytes of the databases or files
    stored: int = 0  # bytes of its own: what pgBackRest added to the repository, a dump's files
    first_wal: str = ""
    system_id: int = 0
    id: str = ""  # restic's whole id
    path: str = ""  # where its files are in the snapshot
    source: str = ""  # path or volume; empty for a database
    release: str = ""  # the release a dump was made for


class Repository(NamedTuple):
    """A repository: its backups, oldest first, the last WAL file of its newest timeline, and the bytes of all backups, without WAL."""

    name: str
    number: int
    failure: Failure | None
    backups: tuple[Backup, ...]
    last_wal: str | None = None
    stored: int = 0

    @property
    def newest(self) -> Backup | None:
        """The newest backup."""
        return self.backups[-1] if self.backups else None

    @property
    def newest_full(self) -> Backup | None:
        """The newest full backup."""
        return next((item for item in reversed(self.backups) if item.kind == "full"), None)

    def of(self, source: str) -> Repository:
        """The repository with the backups of one source only; a database's source is empty."""
        return self._replace(backups=tuple(item for item in self.backups if item.source == source))

    def as_data(self) -> dict[str, Any]:
        """The repository for JSON."""
        backups = [item._asdict() for item in self.backups]
        return {**self._asdict(), "failure": self.failure and self.failure._asdict(), "backups": backups}


def reach(endpoint: str) -> None:
    """See at once whether anything listens at ``endpoint``, a ``host:port`` or empty. Raises RepositoryError."""
    if not endpoint:
        return
    server, _unused, port = endpoint.partition(":")
    try:
        socket.create_connection((server, int(port or 443)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        message = f"the object store {endpoint} does not answer: {error}"
        raise RepositoryError(Failure("unreachable", message)) from error
