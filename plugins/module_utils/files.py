# SPDX-License-Identifier: Apache-2.0
"""State files that survive a crash at any moment: locked, written atomically, synced."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import pwd
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

LOCK_POLL_SECONDS = 0.05


def private_folder(path: str) -> None:
    """Create ``path`` and its missing parents for the owner only; ``os.makedirs`` sets the mode of the last one only."""
    if path and not os.path.isdir(path):
        private_folder(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode=0o700)


@contextlib.contextmanager
def locked(path: str, seconds: float | None = None) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` (created 0600 when missing); waits for its holder.

    Raises TimeoutError when it is still held after ``seconds``.
    """
    private_folder(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if seconds is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _lock_within(descriptor, path, seconds)
        yield
    finally:
        os.close(descriptor)


def _lock_within(descriptor: int, path: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path} is still locked after {seconds:g} s") from None
            time.sleep(LOCK_POLL_SECONDS)


def write_atomic(
    path: str,
    text: str,
    mode: int = 0o600,
    owner: str | None = None,
    group: str | None = None,
    check: Callable[[str], None] | None = None,
) -> None:
    """Replace ``path`` atomically: a reader, or a power cut, sees the old text or the new, never a part.

    ``check`` gets the path of the new file and raises to reject it.
    """
    folder = os.path.dirname(path)
    private_folder(folder)
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.getpid()}-{threading.get_ident()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as handle:
            os.fchmod(handle.fileno(), mode)
            if owner or group:
                uid = pwd.getpwnam(owner).pw_uid if owner else -1
                gid = grp.getgrnam(group).gr_gid if group else -1
                os.fchown(handle.fileno(), uid, gid)
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        if check:
            check(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(folder)


def sync_directory(folder: str) -> None:
    """Sync a directory to make renames and new files in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: str, default: Any = None) -> Any:
    """Read the JSON value of ``path``; ``default`` without a file."""
    try:
        with open(path, encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return default


def write_json(path: str, value: Any, mode: int = 0o600) -> None:
    """``write_atomic`` of ``value`` as stable, readable JSON."""
    write_atomic(path, json.dumps(value, sort_keys=True, indent=1) + "\n", mode)
