# SPDX-License-Identifier: Apache-2.0
"""Read an edge's log from its end, with the rotated one behind it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from ansible_collections.sluice.stack.plugins.module_utils.canary import log as canary_log

LOG = "/var/log/nginx/access.log"
CHUNK = 1 << 16
# Nginx's workers write a line when a request has ended; lines of two workers may not be in the order of their times.
DISORDER_SECONDS = 5.0


class LogError(Exception):
    """The log cannot be read; the message says what to do."""


def backwards(log: BinaryIO, chunk: int = CHUNK) -> Iterator[bytes]:
    """Yield a file's lines from last to first; an incomplete last line counts."""
    position = log.seek(0, os.SEEK_END)
    rest = b""
    while position:
        size = min(chunk, position)
        position -= size
        log.seek(position)
        first, *others = (log.read(size) + rest).split(b"\n")
        yield from (line for line in reversed(others) if line)
        rest = first
    if rest:
        yield rest


def opened(path: str, stack: contextlib.ExitStack) -> list[BinaryIO]:
    """Open the log and the rotated one, if any, newest first. Raises LogError.

    Both are opened before either is read: a rotation in between would show the same lines under both names.
    """
    try:
        logs: list[BinaryIO] = [stack.enter_context(open(path, "rb"))]  # noqa: SIM115 - the stack closes it
        with contextlib.suppress(FileNotFoundError):
            logs.append(stack.enter_context(open(f"{path}.1", "rb")))  # noqa: SIM115
    except OSError as error:
        raise LogError(
            f"the log {error.filename} cannot be read ({error.strerror}): check that this is an edge, and run provision.yml"
        ) from error
    if len(logs) == 2 and os.path.samestat(os.fstat(logs[0].fileno()), os.fstat(logs[1].fileno())):
        logs.pop()
    return logs


def read(path: str, window: canary_log.Window) -> canary_log.Counts:
    """Count a window, reading the log only back to its start. Raises LogError."""
    tally = canary_log.Tally(window)
    with contextlib.ExitStack() as stack:
        for log in opened(path, stack):
            for line in backwards(log):
                ended = tally.take(line)
                if ended is not None and ended < window.since - DISORDER_SECONDS:
                    return tally.counts()
    return tally.counts()
