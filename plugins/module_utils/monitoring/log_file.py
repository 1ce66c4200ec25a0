# SPDX-License-Identifier: Apache-2.0
"""Follow a log file through rotation and restarts, each line once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import BinaryIO

Position = tuple[int, int]  # inode, bytes that were read

CHUNK = 2**18
# After a rotation the old file is still written to, until each worker has opened the new one.
LINGER_SECONDS = 60.0


class _Open:
    """A file that is being read."""

    def __init__(self, handle: BinaryIO, offset: int) -> None:
        self.handle, self.offset = handle, offset
        self.inode = os.fstat(handle.fileno()).st_ino
        self.until: float | None = None  # when it is left, once another one has its name

    def more(self) -> bytes:
        """Return the next whole lines; a line that is still being written is left for the next time."""
        self.handle.seek(self.offset)
        text = self.handle.read(CHUNK)
        end = text.rfind(b"\n") + 1
        if not end and len(text) == CHUNK:
            end = CHUNK  # no log line is that long: go on rather than stand still
        self.offset += end
        return text[:end]


class LogFile:
    """A log and, for a while after it was rotated, the file it was before.

    ``positions`` are those of an earlier run. Without any it begins at the end: what was before is not counted.
    """

    def __init__(self, path: str, positions: list[Position] | None) -> None:
        self.path = path
        self.lost = 0  # times that a part of the log was gone before it was read
        self._files: list[_Open] = []
        for inode, offset in positions or []:
            self._resume(inode, offset)
        if positions is None:
            current = self._open(path)
            if current:
                current.offset = os.fstat(current.handle.fileno()).st_size
                self._files.append(current)
        self._notice()

    def positions(self) -> list[Position]:
        """Return how far each file was read."""
        return [(one.inode, one.offset) for one in self._files]

    def parts(self) -> Iterator[bytes]:
        """Yield what was written since the last time, and end at the end of the log."""
        self._notice()
        for one in list(self._files):
            if os.fstat(one.handle.fileno()).st_size < one.offset:
                self.lost += 1  # emptied in place
                one.offset = 0
            while text := one.more():
                yield text
            if one.until is not None and time.monotonic() > one.until:
                one.handle.close()
                self._files.remove(one)

    def _resume(self, inode: int, offset: int) -> None:
        for path in (self.path, f"{self.path}.1"):
            found = self._open(path)
            if found and found.inode == inode:
                found.offset = offset
                self._files.append(found)
                return
            if found:
                found.handle.close()
        self.lost += 1

    def _notice(self) -> None:
        """Notice a file that has the log's name now."""
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            return
        if self._files and self._files[-1].inode == inode:
            return
        found = self._open(self.path)
        if found is None:
            return
        for one in self._files:
            one.until = one.until or time.monotonic() + LINGER_SECONDS
        self._files.append(found)

    @staticmethod
    def _open(path: str) -> _Open | None:
        try:
            return _Open(open(path, "rb", buffering=0), 0)
        except FileNotFoundError:
            return None
