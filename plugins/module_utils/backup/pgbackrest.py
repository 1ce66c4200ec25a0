# SPDX-License-Identifier: Apache-2.0
"""pgBackRest as the backup program uses it: what its repositories hold, and restores in the live cluster's place or beside it."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import repository as backup_repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import USER, Done, HostError, as_postgres
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure, Repository

CONNECT_SECONDS = 5.0
INFO_SECONDS = 300.0


class RestoreFailed(Exception):
    """The repository did not give the backup."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def pgbackrest(host: Mapping[str, Any], *arguments: str, timeout: float = 60) -> Done:
    """Run pgBackRest on this host's stanza."""
    return as_postgres(["pgbackrest", f"--stanza={host['stanza']}", *arguments], timeout)


def repositories(host: Mapping[str, Any]) -> list[Repository]:
    """What is in the repositories; one that cannot be asked says so in its ``failure``."""
    return [
        _repository(host, number, item["name"], item["endpoint"])
        for number, item in enumerate(host["repositories"], start=1)
    ]


def _repository(host: Mapping[str, Any], number: int, name: str, endpoint: str) -> Repository:
    # pgBackRest tries a store that is down again and again for minutes; whether anybody is there is known at once.
    try:
        if endpoint:
            server, _unused, port = endpoint.partition(":")
            socket.create_connection((server, int(port or 443)), timeout=CONNECT_SECONDS).close()
        done = pgbackrest(host, f"--repo={number}", "info", "--output=json", timeout=INFO_SECONDS)
    except (OSError, HostError) as error:
        message = f"the object store {endpoint} does not answer: {error}"
        return Repository(name, number, Failure("unreachable", message), (), None)
    try:
        # A message may quote what a wrong passphrase made of a file.
        return backup_repository.read(json.loads(done.out, strict=False), number, name)
    except (ValueError, KeyError, TypeError):
        return Repository(name, number, backup_repository.explain(done.said), (), None)


def restore_files(host: Mapping[str, Any], timeline: str, *words: str, timeout: float) -> Done:
    """Have pgBackRest restore; ``words`` are its options.

    The newest timeline in the archive is not the way on from a backup that was made on an older one after the two parted: that is so when
    somebody has gone back to what was there before a restore. Then it is the backup's own.
    """
    done = pgbackrest(host, *words, f"--target-timeline={timeline}", "restore", timeout=timeout)
    if done.code and timeline == "latest" and "forked from backup timeline" in done.said:
        done = pgbackrest(host, *words, "--target-timeline=current", "restore", timeout=timeout)
    return done


def last_on(host: Mapping[str, Any], repository: Repository, timeline: int) -> str | None:
    """The last WAL file of a timeline in a repository."""
    if repository.last_wal is None or backup_repository.timeline_of(repository.last_wal) == timeline:
        return repository.last_wal
    wanted = f"{timeline:08X}[0-9A-F]{{16}}-"
    done = pgbackrest(
        host, f"--repo={repository.number}", "repo-ls", f"archive/{host['stanza']}", "--recurse", f"--filter={wanted}"
    )
    return max((line.rpartition("/")[2][:24] for line in done.out.splitlines() if line.strip()), default=None)


def restore_beside(scratch: Mapping[str, Any], repository: Repository, *words: str, seconds: float) -> None:
    """Restore a scratch cluster from one repository into a new directory; ``words`` are pgBackRest's options. Raises RestoreFailed or OSError."""
    for part in (scratch["socket"], scratch["data"]):
        os.makedirs(part, mode=0o700)
        shutil.chown(part, USER, USER)
    done = restore_files(
        scratch, "latest", f"--repo={repository.number}", f"--pg1-path={scratch['data']}", *words, timeout=seconds
    )
    if done.code:
        raise RestoreFailed(backup_repository.explain(done.said, readable=True))


def fetch(scratch: Mapping[str, Any], number: int) -> str:
    """The command that fetches WAL from the repository of this number alone: what it lacks is not to be taken from another one."""
    return (
        f"pgbackrest --stanza={scratch['stanza']} --repo={number} --pg1-path={scratch['data']} "
        '--log-level-file=off archive-get %f "%p"'
    )
