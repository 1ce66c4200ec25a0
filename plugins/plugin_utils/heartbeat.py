# SPDX-License-Identifier: Apache-2.0
"""Keep a run's lease on one host alive as long as its controller lives, and let it run out at once when that has ended.

A process of its own for each host, forked from the worker that is about to fence it: it has that worker's connection, and outlives it,
also where the worker is ended in the middle. It watches the process of ``ansible-playbook``. However that ends (SIGKILL, Ctrl-C, a
failed run or an ordinary end), the lease is expired at once; where this process dies with it, as in a container that is removed, the
lease ends by itself some seconds later.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ansible.utils.display import Display

# How long the process may outlive the controller: an unreachable host is not told for ever.
LAST_SECONDS = 10.0
POLL_SECONDS = 0.5
NAME = "sluice-lease"
FENCED, REFUSED = b"1", b"0"


class Controller(Protocol):
    """A process of ``ansible-playbook``."""

    def ended(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for its end; whether it has ended."""

    def stopped(self) -> bool:
        """Whether it is stopped (SIGSTOP, Ctrl-Z), and does nothing until it is continued."""


class LinuxController:
    """By a pidfd, which is ready when its process has ended, and never another one's (pidfd_open(2))."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = None

    def ended(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for its end; whether it has ended."""
        if self._descriptor is None:
            return True
        watch = select.poll()
        watch.register(self._descriptor, select.POLLIN)
        return bool(watch.poll(seconds * 1000))

    def stopped(self) -> bool:
        """Whether it is stopped."""
        try:
            with open(f"/proc/{self._pid}/stat", encoding="utf-8", errors="replace") as handle:
                return handle.read().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False


class PortableController:
    """By what ps(1) says: that a process of this number began at the same moment."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = self._look()[0]

    def _look(self) -> tuple[str, str]:
        """When the process began, empty when it has ended, and its state."""
        command = ["ps", "-o", "lstart=", "-o", "state=", "-p", str(self._pid)]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        began, _unused, state = found.rpartition(" ")
        return ("" if state.startswith("Z") else began.strip()), state

    def ended(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for its end; whether it has ended."""
        deadline = time.monotonic() + seconds
        while self._began and self._look()[0] == self._began:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, POLL_SECONDS))
        return True

    def stopped(self) -> bool:
        """Whether it is stopped."""
        return self._look()[1].startswith("T")


def controller() -> Controller:
    """The process that forked this worker, also when it has just died."""
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent and parent.pid else os.getpid()
    return LinuxController(pid) if hasattr(os, "pidfd_open") else PortableController(pid)


def begin(watched: Controller, tell: Callable[[str], dict[str, Any]], interval: float) -> Callable[[bool], None]:
    """Start the process; returns at once, and never in the new process. To be called with whether the host was fenced, once that is known.

    ``tell`` has the host renew or expire the lease. ``interval`` is in seconds.
    """
    told, telling = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        os.waitpid(child, 0)
        return lambda fenced: _tell_fenced(telling, fenced)
    try:
        os.setsid()
        if os.fork() == 0:
            os.close(telling)
            _detach()
            threading.Thread(target=_give_up, args=(watched,), daemon=True).start()
            answer = _fenced(told, watched)
            if answer != REFUSED:
                beat(watched, tell, interval, known=answer == FENCED)
    finally:
        os._exit(0)


def _tell_fenced(telling: int, fenced: bool) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(telling, FENCED if fenced else REFUSED)
    os.close(telling)


def _fenced(told: int, watched: Controller) -> bytes:
    """Wait for what became of the fence; nothing when the controller or the worker ended before that was known."""
    while not select.select([told], [], [], POLL_SECONDS)[0]:
        if watched.ended(0):
            return b""
    return os.read(told, 1)


def beat(watched: Controller, tell: Callable[[str], dict[str, Any]], interval: float, *, known: bool = True) -> None:
    """Renew until the run does not own the app any more, or until the controller has ended; then expire.

    ``known``: that the host was fenced. Else the fence may still be under way there when the controller has ended.
    """
    while not watched.ended(interval):
        # Who is stopped may be so for good, and the others wait for this one.
        if not watched.stopped() and _told(tell, "renewed").get("owned") is False:
            return
    deadline = time.monotonic() + LAST_SECONDS
    while time.monotonic() < deadline:
        answer = _told(tell, "expired")
        if answer.get("owned") or (known and answer):
            return
        time.sleep(POLL_SECONDS)


def _told(tell: Callable[[str], dict[str, Any]], state: str) -> dict[str, Any]:
    """What the host answered; nothing when it did not."""
    try:
        found = tell(state)
    except Exception:  # a host that cannot be reached has many ways to say so; it is tried again
        return {}
    return {} if found.get("failed") else found


def _detach() -> None:
    """Let go of what belongs to the worker: its streams, its signals, and its queue of results, also for what would be shown."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    display = Display()
    display._final_q, display.verbosity = None, 0
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as handle:
        handle.write(NAME)


def _give_up(watched: Controller) -> None:
    """End this process, and the connection it waits for, some seconds after the controller."""
    while not watched.ended(3600):
        pass
    time.sleep(LAST_SECONDS)
    os.killpg(0, signal.SIGKILL)
