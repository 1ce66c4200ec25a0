# SPDX-License-Identifier: Apache-2.0
"""The queue of an environment and its runs. Pushers put requests into the one and read the other; only the environment's own user takes them.

    <environment>/queue/<id>.json    a request that waits, with the pushed files in .<id>.tar
    <environment>/runs/<id>/         request.json, log, report/, and result.json once it has ended

Whoever pushes is the user ``deploy``, and every environment's user another one: a request is read as text that somebody wrote.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.git_deploy import policy

ROOT = "/var/lib/sluice-deploy"
# Ids sort by the time of the push.
ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[A-Za-z0-9_.-]{1,128}")
POLL_SECONDS = 0.2
# A push gives up following a run, which goes on. The second is for a queue that nobody takes from.
FOLLOW_SECONDS, IDLE_SECONDS = 4 * 3600.0, 60.0

Request = Mapping[str, Any]


class QueueError(Exception):
    """Something is wrong with the queue; the message is one line."""


class Queue:
    """An environment's queue and runs."""

    def __init__(self, environment: str, root: str = ROOT) -> None:
        self.environment = environment
        self.home = os.path.join(root, environment)
        self._queue, self._runs = os.path.join(self.home, "queue"), os.path.join(self.home, "runs")

    # -- whoever pushes

    def put(self, request: Request, archive: Callable[[str, str], None] | None) -> str:
        """Add a request, with the files that ``archive`` writes of its commit to a path; returns its id."""
        identity = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{request['version']}"
        if archive:
            archive(request["commit"], os.path.join(self._queue, f".{identity}.tar"))
        # systemd takes no notice of a hidden file: the rename of this one starts the run.
        write_json(os.path.join(self._queue, f"{identity}.json"), dict(request), mode=0o644)
        return identity

    def follow(self, identity: str, say: Callable[[str], None]) -> dict[str, Any]:
        """Say what a run does until it has ended; returns its result. Raises QueueError."""
        end, idle, told, offset = time.monotonic() + FOLLOW_SECONDS, time.monotonic() + IDLE_SECONDS, "", 0
        run = os.path.join(self._runs, identity)
        while time.monotonic() < end:
            # Asked first: what is in the log then is all of it.
            result = self._result(identity)
            if os.path.exists(os.path.join(run, "log")):
                offset += _copy(self.read(identity, "log"), offset, say)
            if result is not None:
                return result
            if not os.path.isdir(run):
                waiting = self._before(identity)
                if waiting and waiting != told:
                    say(f"waiting for {waiting}\n")
                    told = waiting
                if waiting:
                    idle = time.monotonic() + IDLE_SECONDS
                elif time.monotonic() > idle:
                    raise QueueError(
                        f"nobody takes the deploys of {self.environment}: systemctl status sluice-git-deploy@{self.environment}.path; "
                        "this one stays in the queue"
                    )
            time.sleep(POLL_SECONDS)
        raise QueueError(f"{identity} goes on; its log is kept")

    def _before(self, identity: str) -> str:
        names = [
            *(name for name in self.runs() if not self.ended(name)),
            *(one for one in self.waiting() if one < identity),
        ]
        return ", ".join(name.partition("Z-")[2] for name in names)

    # -- the environment's user

    def waiting(self) -> list[str]:
        """The ids of the requests, in their order."""
        return sorted(name.removesuffix(".json") for name in os.listdir(self._queue) if not name.startswith("."))

    def take(self) -> str | None:
        """Move the first request to the runs; returns its id, or None when there is none. What is no request is removed."""
        for identity in self.waiting():
            held = os.path.join(self._queue, f"{identity}.json")
            if not (ID.fullmatch(identity) and os.path.isfile(held)):
                os.unlink(held if os.path.exists(held) else os.path.join(self._queue, identity))
                continue
            run = self.path(identity)
            os.makedirs(run, mode=0o750, exist_ok=True)
            archive = os.path.join(self._queue, f".{identity}.tar")
            if os.path.exists(archive):
                os.replace(archive, os.path.join(run, "files.tar"))
            os.replace(held, os.path.join(run, "request.json"))
            return identity
        return None

    def request(self, identity: str) -> dict[str, Any]:
        """A request that was taken, checked. Raises QueueError."""
        try:
            given = read_json(self.path(identity, "request.json"))
            request = {name: str(given[name]) for name in ("version", "commit", "pusher", "repository")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise QueueError(f"{identity} is no request: {error}") from error
        if not (policy.VERSION.fullmatch(request["version"]) and policy.OBJECT.fullmatch(request["commit"])):
            raise QueueError(f"{identity} is no request: version {request['version']!r}, commit {request['commit']!r}")
        return request

    # -- both

    def runs(self) -> list[str]:
        """The ids of the runs, oldest first."""
        return sorted(name for name in os.listdir(self._runs) if ID.fullmatch(name))

    def read(self, identity: str, name: str) -> BinaryIO:
        """Open a file of a run for whoever pushes. Raises FileNotFoundError, and QueueError for anything but a file.

        The environment's user owns the directory: a link in it would show what only the reader may see.
        """
        path = self.path(identity, name)
        try:
            directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                handle = os.fdopen(os.open(name, flags, dir_fd=directory), "rb")
            finally:
                os.close(directory)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise QueueError(f"{path} cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            handle.close()
            raise QueueError(f"{path} is not a file")
        return handle

    def _result(self, identity: str) -> dict[str, Any] | None:
        """The result of a run, once it has one."""
        try:
            with self.read(identity, "result.json") as handle:
                return dict(json.load(handle))
        except FileNotFoundError:
            return None

    def ended(self, identity: str) -> bool:
        """Whether a run has its result."""
        return os.path.exists(self.path(identity, "result.json"))

    def path(self, identity: str, name: str = "") -> str:
        """A run's directory, or a file in it."""
        return os.path.join(self._runs, identity, name) if name else os.path.join(self._runs, identity)


def _copy(handle: BinaryIO, offset: int, say: Callable[[str], None]) -> int:
    """Say whole lines of a file from ``offset`` on; returns how many bytes."""
    with handle:
        handle.seek(offset)
        text, found, _rest = handle.read().rpartition(b"\n")
    if found:
        say((text + found).decode(errors="replace"))
    return len(text) + len(found)
