# SPDX-License-Identifier: Apache-2.0
"""restic as a host's program runs it: each repository with its key files, and with deadlines, which restic itself lacks."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import restic_output
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure, RepositoryError, reach
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Saved, Snapshot

# Opening a repository takes a second or two; a store that refuses is tried again by restic itself for much longer.
LOOK_SECONDS = 45.0
WORK_SECONDS = 24 * 3600.0
END_SECONDS = 10.0
# How restic ends when it has made a snapshot, and some files could not be read.
INCOMPLETE = 3


def run(repository: Mapping[str, Any], *words: str, timeout: float = WORK_SECONDS) -> Done:
    """Run restic on ``repository``, a ``{name, url, endpoint, options, ca, keys, cache}``; it is stopped after ``timeout`` seconds.

    ``keys`` and ``cache`` are directories of root's; ``by: previous`` opens it with the passphrase of before. Keys and passphrases are
    read by restic from files: they are in no argument and no environment.
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
        "RESTIC_PASSWORD_FILE": f"{key}.{repository.get('by', 'passphrase')}",
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
            # On SIGTERM it removes its lock.
            process.terminate()
            try:
                out, err = process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            return Done(process.returncode or 1, out, err or f"restic still ran after {timeout:g} s and was stopped")
    return Done(process.returncode, out, err)


def must(repository: Mapping[str, Any], *words: str, timeout: float = WORK_SECONDS) -> str:
    """Return what restic printed. Raises RepositoryError when it ends with anything but 0."""
    done = run(repository, *words, timeout=timeout)
    if done.code:
        raise RepositoryError(restic_output.explain(done.code, done.output))
    return done.out


def snapshots(repository: Mapping[str, Any]) -> list[Snapshot]:
    """Return all snapshots in a repository, oldest first. Raises RepositoryError."""
    reach(repository["endpoint"])
    try:
        return restic_output.snapshots(
            must(repository, "snapshots", "--json", "--quiet", "--no-lock", timeout=LOOK_SECONDS)
        )
    except (ValueError, KeyError) as error:
        raise RepositoryError(Failure("other", f"its list of snapshots cannot be read: {error!r}")) from error


def prepare(repositories: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Make every repository that is not there, and change passphrases; what was done, and what cannot be used, a line each."""
    made, failed = [], []
    for repository in repositories:
        try:
            if initialise(repository):
                made.append(f"{repository['name']}: made")
            elif change_passphrase(repository):
                made.append(f"{repository['name']}: made to open by its new passphrase alone")
        except RepositoryError as error:
            failed.append(f"{repository['name']}: cannot be used: {error}")
    return made, failed


def initialise(repository: Mapping[str, Any]) -> bool:
    """Make the repository where there is none; return whether it was made. Raises RepositoryError."""
    try:
        snapshots(repository)
    except RepositoryError as error:
        if error.failure.kind == "absent":
            must(repository, "init", "--quiet", timeout=LOOK_SECONDS)
            return True
        previous = _previous(repository) if error.failure.kind == "key" else None
        if previous is None:
            raise
        # The new passphrase becomes a second key, made by the previous one.
        new = f"{os.path.join(repository['keys'], repository['name'])}.passphrase"
        must(previous, "key", "add", "--quiet", "--new-password-file", new, timeout=LOOK_SECONDS)
        snapshots(repository)
    return False


def change_passphrase(repository: Mapping[str, Any]) -> bool:
    """Take the previous passphrase's key away from a repository that the new one opens; return whether it had it. Raises RepositoryError."""
    previous = _previous(repository)
    if not previous:
        return False
    try:
        keys = json.loads(must(previous, "key", "list", "--json", "--quiet", "--no-lock", timeout=LOOK_SECONDS))
    except RepositoryError as error:
        if error.failure.kind == "key":
            return False
        raise
    for key in keys:
        if key["current"]:
            must(repository, "key", "remove", "--quiet", key["id"], timeout=LOOK_SECONDS)
    return True


def _previous(repository: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the repository as the previous passphrase opens it, if the inventory has one that differs."""
    texts = []
    for name in ("previous", "passphrase"):
        try:
            with open(f"{os.path.join(repository['keys'], repository['name'])}.{name}", encoding="utf-8") as handle:
                texts.append(handle.read().strip())
        except FileNotFoundError:
            texts.append("")
    return {**repository, "by": "previous"} if texts[0] and texts[0] != texts[1] else None


def unlock(repository: Mapping[str, Any]) -> None:
    """Remove locks that a killed restic of this host left. Raises RepositoryError."""
    reach(repository["endpoint"])
    must(repository, "unlock", "--quiet", timeout=LOOK_SECONDS)


def backup(
    repository: Mapping[str, Any], host: str, tags: Sequence[str], path: str, excludes: Sequence[str]
) -> tuple[Saved, str]:
    """Make a snapshot of ``path`` with these tags; what it did, and which files it could not read. Raises RepositoryError."""
    words = [word for tag in tags for word in ("--tag", tag)] + [f"--exclude={item}" for item in excludes]
    done = run(repository, "backup", "--json", "--quiet", "--host", host, *words, "--", path)
    saved = restic_output.saved(done.out)
    if saved and done.code in (0, INCOMPLETE):
        return saved, restic_output.unread(done.err) if done.code else ""
    if done.code:
        raise RepositoryError(restic_output.explain(done.code, done.output))
    raise RepositoryError(Failure("other", "restic made no snapshot and gave no reason"))


@contextlib.contextmanager
def retention() -> Iterator[None]:
    """Report a failure to forget or prune: the new backup is complete. Raises RepositoryError."""
    try:
        yield
    except RepositoryError as error:
        message = f"it is backed up, but old backups stay: {error}"
        raise RepositoryError(error.failure._replace(message=message)) from error


def forget(repository: Mapping[str, Any], host: str, tag: str, keep: Mapping[str, int | str], group: str) -> None:
    """Remove the snapshots with this tag that retention does not ``keep``, within each ``group``. Raises RepositoryError."""
    keeps = [f"--keep-{name}={number}" for name, number in keep.items() if number]
    must(repository, "forget", "--quiet", "--host", host, "--group-by", group, "--tag", tag, *keeps)


def check(repository: Mapping[str, Any], part: int, parts: int) -> None:
    """Check that everything is there, and read one part of the data again. Raises RepositoryError."""
    reach(repository["endpoint"])
    must(repository, "check", "--quiet", f"--read-data-subset={part}/{parts}")


def prune(repository: Mapping[str, Any]) -> int:
    """Free the space of what is in no snapshot any more; return the bytes stored then. Raises RepositoryError."""
    must(repository, "prune", "--quiet")
    return int(json.loads(must(repository, "stats", "--mode", "raw-data", "--json", "--quiet"))["total_size"])


def restore(repository: Mapping[str, Any], snapshot: str, folder: str) -> None:
    """Write all of a snapshot below ``folder``, and read it back. Raises RepositoryError."""
    must(repository, "restore", "--quiet", "--verify", "--target", folder, snapshot)
