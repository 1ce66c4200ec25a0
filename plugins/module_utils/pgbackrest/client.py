# SPDX-License-Identifier: Apache-2.0
"""pgBackRest as the backup program runs it: what its repositories hold, and restores in place of the live cluster or alongside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import USER, Done, HostError, as_postgres
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import (
    Backup,
    Failure,
    Repository,
    RepositoryError,
    reach,
)
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import output

INFO_SECONDS = 300.0
Host = Mapping[str, Any]


def pgbackrest(host: Host, *arguments: str, timeout: float = 60) -> Done:
    """Run pgBackRest on this host's stanza."""
    return as_postgres(["pgbackrest", f"--stanza={host['stanza']}", *arguments], timeout)


def repositories(host: Host) -> list[Repository]:
    """Read what is in the repositories; one that does not answer has a ``failure``."""
    return [
        _repository(host, number, item["name"], item["endpoint"])
        for number, item in enumerate(host["repositories"], start=1)
    ]


def _repository(host: Host, number: int, name: str, endpoint: str) -> Repository:
    try:
        # pgBackRest retries a store that is down for minutes; whether anything listens is known at once.
        reach(endpoint)
        done = pgbackrest(host, f"--repo={number}", "info", "--output=json", timeout=INFO_SECONDS)
        # A message may quote what a wrong passphrase made of a file.
        return output.read(json.loads(done.out, strict=False), number, name)
    except RepositoryError as error:
        return Repository(name, number, error.failure, ())
    except HostError as error:
        return Repository(name, number, Failure("unreachable", str(error)), ())
    except (ValueError, KeyError, TypeError):
        return Repository(name, number, output.explain(done.output), ())


def newest(host: Host, name: str) -> tuple[Repository, Backup]:
    """Return the repository ``name`` and its newest backup. Raises RepositoryError."""
    repository = next(item for item in repositories(host) if item.name == name)
    if repository.failure:
        raise RepositoryError(repository.failure)
    if repository.newest is None:
        raise RepositoryError(Failure("absent", "it holds no backup"))
    return repository, repository.newest


def restore_files(host: Host, timeline: str, *words: str, timeout: float) -> Done:
    """Run a restore; ``words`` are pgBackRest's options.

    A backup that was made on an older timeline after the newest one in the archive forked, which is so after a restore was reverted, cannot
    follow the newest. Then it follows its own.
    """
    done = pgbackrest(host, *words, f"--target-timeline={timeline}", "restore", timeout=timeout)
    if done.code and timeline == "latest" and "forked from backup timeline" in done.output:
        done = pgbackrest(host, *words, "--target-timeline=current", "restore", timeout=timeout)
    return done


def last_on(host: Host, repository: Repository, timeline: int) -> str | None:
    """Return the last WAL file of a timeline in a repository."""
    if repository.last_wal is None or output.timeline_of(repository.last_wal) == timeline:
        return repository.last_wal
    wanted = f"{timeline:08X}[0-9A-F]{{16}}-"
    done = pgbackrest(
        host, f"--repo={repository.number}", "repo-ls", f"archive/{host['stanza']}", "--recurse", f"--filter={wanted}"
    )
    return max((line.rpartition("/")[2][:24] for line in done.out.splitlines() if line.strip()), default=None)


def restore_alongside(scratch: Host, repository: Repository, *words: str, seconds: float) -> None:
    """Restore a scratch cluster from one repository into a new directory; ``words`` are pgBackRest's options.

    Raises RepositoryError, HostError or OSError.
    """
    for part in (scratch["socket"], scratch["data"]):
        os.makedirs(part, mode=0o700)
        shutil.chown(part, USER, USER)
    done = restore_files(
        scratch, "latest", f"--repo={repository.number}", f"--pg1-path={scratch['data']}", *words, timeout=seconds
    )
    if done.code:
        raise RepositoryError(output.explain(done.output, readable=True))


def copy(scratch: Host, repository: Repository, overrides: Mapping[str, Any] | None = None) -> None:
    """Bring up the newest state of a repository as a scratch cluster that takes writes; ``overrides`` are settings of its server.

    Raises RepositoryError, RecoveryFailed, HostError or OSError.
    """
    restore_alongside(
        scratch,
        repository,
        "--archive-mode=off",
        f"--tablespace-map-all={scratch['socket']}/tablespaces",
        f"--recovery-option=restore_command={fetch(scratch, repository.number)}",
        seconds=scratch["drill_seconds"],
    )
    backup_scratch.start(scratch, scratch["drill_seconds"], overrides or {}, "select not pg_is_in_recovery()")


def fetch(scratch: Host, number: int) -> str:
    """Return the command that fetches WAL from the repository of this number only: what it lacks must not come from another one."""
    return (
        f"pgbackrest --stanza={scratch['stanza']} --repo={number} --pg1-path={scratch['data']} "
        '--log-level-file=off archive-get %f "%p"'
    )
