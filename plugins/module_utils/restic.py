# SPDX-License-Identifier: Apache-2.0
"""restic as a host's program uses it: each repository with its key files, and deadlines it does not have itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils import restic_output
from ansible_collections.sluice.stack.plugins.module_utils.restic_output import Failure, Saved, Snapshot

CONNECT_SECONDS = 5.0
# Opening a repository takes a second or two; a store that refuses is tried again by restic itself for much longer.
LOOK_SECONDS = 45.0
WORK_SECONDS = 24 * 3600.0
END_SECONDS = 10.0
# How restic ends when it has made a snapshot, and some files could not be read.
INCOMPLETE = 3


class ResticError(Exception):
    """restic could not do what was asked; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Done(NamedTuple):
    """How a restic ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All it said."""
        return f"{self.err}\n{self.out}"


def run(repository: Mapping[str, Any], *words: str, timeout: float = WORK_SECONDS) -> Done:
    """Run restic on ``repository``, a ``{name, url, endpoint, options, ca, keys, cache}``; it is stopped after ``timeout`` seconds.

    ``keys`` and ``cache`` are directories of root's. Keys and passphrase are read by restic from files: they are in no argument and no environment.
    """
    key, cache = os.path.join(repository["keys"], repository["name"]), repository["cache"]
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/root",
        "TMPDIR": cache,
        "RESTIC_CACHE_DIR": cache,
        "RESTIC_REPOSITORY": repository["url"],
        "RESTIC_PASSWORD_FILE": f"{key}.passphrase",
        "AWS_SHARED_CREDENTIALS_FILE": f"{key}.credentials",
    }
    options = [part for option in repository["options"] for part in ("-o", option)]
    authority = ["--cacert", repository["ca"]] if repository["ca"] else []
    os.makedirs(cache, mode=0o700, exist_ok=True)
    with subprocess.Popen(
        ["restic", *options, *authority, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd="/",
        env=environment,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # Message to end it takes its lock away.
            process.terminate()
            try:
                out, err = process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            return Done(process.returncode or 1, out, err or f"restic still ran after {timeout:g} s and was stopped")
    return Done(process.returncode, out, err)


def must(repository: Mapping[str, Any], *words: str, timeout: float = WORK_SECONDS) -> str:
    """What restic printed. Raises ResticError when it ends with anything but 0."""
    done = run(repository, *words, timeout=timeout)
    if done.code:
        raise ResticError(restic_output.explain(done.code, done.said))
    return done.out


def reach(repository: Mapping[str, Any]) -> None:
    """Know at once whether anybody listens where the repository is. Raises ResticError."""
    endpoint = repository["endpoint"]
    if endpoint:
        server, _unused, port = endpoint.partition(":")
        try:
            socket.create_connection((server, int(port or 443)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            message = f"the object store {endpoint} does not answer: {error}"
            raise ResticError(Failure("unreachable", message)) from error


def snapshots(repository: Mapping[str, Any]) -> list[Snapshot]:
    """All snapshots in a repository, oldest first. Raises ResticError."""
    reach(repository)
    try:
        return restic_output.snapshots(
            must(repository, "snapshots", "--json", "--quiet", "--no-lock", timeout=LOOK_SECONDS)
        )
    except (ValueError, KeyError) as error:
        raise ResticError(Failure("other", f"its list of snapshots cannot be read: {error!r}")) from error


def initialise(repository: Mapping[str, Any]) -> bool:
    """Make the repository where there is none; whether that was needed. Raises ResticError."""
    try:
        snapshots(repository)
    except ResticError as error:
        if error.failure.kind != "absent":
            raise
        must(repository, "init", "--quiet", timeout=LOOK_SECONDS)
        return True
    return False


def free(repository: Mapping[str, Any]) -> None:
    """Take away what a restic that was killed on this host left locked. Raises ResticError."""
    reach(repository)
    must(repository, "unlock", "--quiet", timeout=LOOK_SECONDS)


def backup(
    repository: Mapping[str, Any], host: str, tags: Sequence[str], path: str, excludes: Sequence[str]
) -> tuple[Saved | None, str]:
    """Make a snapshot of ``path`` with these tags; what it did, and what is wrong with it, empty when all is well. Raises ResticError."""
    words = [word for tag in tags for word in ("--tag", tag)] + [f"--exclude={item}" for item in excludes]
    done = run(repository, "backup", "--json", "--quiet", "--host", host, *words, "--", path)
    saved = restic_output.saved(done.out)
    if done.code == INCOMPLETE and saved:
        return saved, restic_output.unread(done.err)
    if done.code:
        raise ResticError(restic_output.explain(done.code, done.said))
    return saved, ""


def forget(
    repository: Mapping[str, Any], host: str, tags: Sequence[str], keep: Mapping[str, int | str], group: str
) -> None:
    """Take away the snapshots with one of these tags that retention does not ``keep``, within each ``group``. Raises ResticError."""
    words = [word for tag in tags for word in ("--tag", tag)]
    words += [f"--keep-{name}={number}" for name, number in keep.items() if number]
    must(repository, "forget", "--quiet", "--host", host, "--group-by", group, *words)


def check(repository: Mapping[str, Any], part: int, parts: int) -> None:
    """Look whether all is there, and read one part of the data again. Raises ResticError."""
    reach(repository)
    must(repository, "check", "--quiet", f"--read-data-subset={part}/{parts}")


def prune(repository: Mapping[str, Any]) -> int:
    """Give back the room of what is in no snapshot any more; the bytes that are stored then. Raises ResticError."""
    must(repository, "prune", "--quiet")
    return int(json.loads(must(repository, "stats", "--mode", "raw-data", "--json", "--quiet"))["total_size"])


def restore(repository: Mapping[str, Any], snapshot: str, folder: str) -> None:
    """Write all of a snapshot below ``folder``, and read it back. Raises ResticError."""
    must(repository, "restore", "--quiet", "--verify", "--target", folder, snapshot)
