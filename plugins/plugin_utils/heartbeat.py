# SPDX-License-Identifier: Apache-2.0
"""Renew a run's lease on one host as long as its controller lives, and expire it at once when that has ended.

One process for each host, forked from the worker that is about to fence it: it has that worker's connection and outlives it, even
if the worker is killed. It watches the process of ``ansible-playbook``. However that ends (SIGKILL, Ctrl-C, a failed or a normal
run), the lease is expired at once; if this process dies too, as in a container that is removed, the lease expires automatically
some seconds later.
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

# How long the process may outlive the controller: do not retry an unreachable host forever.
LAST_SECONDS = 10.0
POLL_SECONDS = 0.5
NAME = "sluice-lease"
FENCED, REFUSED = b"1", b"0"


class Controller(Protocol):
    """A process of ``ansible-playbook``."""

    def ended(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for it to end; returns whether it has."""

    def stopped(self) -> bool:
        """Whether it is stopped (SIGSTOP, Ctrl-Z)."""


class LinuxController:
    """Uses a pidfd, which is ready when its process has ended, and never refers to another process (pidfd_open(2))."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = None

    def ended(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for it to end; returns whether it has."""
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
    """Uses ps(1): a process with this pid and the same start time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = self._state()[0]

    def _state(self) -> tuple[str, str]:
        """Return the start time of the process, empty when it has ended, and its state."""
        command = ["ps", "-o", "lstart=", "-o", "state=", "-p", str(self._pid)]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        began, _unused, state = found.rpartition(" ")
        return ("" if state.startswith("Z") else began.strip()), state

    def ended(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for it to end; returns whether it has."""
        deadline = time.monotonic() + seconds
        while self._began and self._state()[0] == self._began:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, POLL_SECONDS))
        return True

    def stopped(self) -> bool:
        """Whether it is stopped."""
        return self._state()[1].startswith("T")


def controller() -> Controller:
    """Return the process that forked this worker, even if it has just died."""
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent and parent.pid else os.getpid()
    return LinuxController(pid) if hasattr(os, "pidfd_open") else PortableController(pid)


def begin(watched: Controller, update: Callable[[str], dict[str, Any]], interval: float) -> Callable[[bool], None]:
    """Start the process; returns at once, and never in the new process. Call the result with whether the host was fenced.

    ``update`` renews or expires the lease on the host. ``interval`` is in seconds.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(reader)
        os.waitpid(child, 0)
        return lambda fenced: _send_fenced(writer, fenced)
    try:
        os.setsid()
        if os.fork() == 0:
            os.close(writer)
            _detach()
            threading.Thread(target=_exit_later, args=(watched,), daemon=True).start()
            answer = _fenced(reader, watched)
            if answer != REFUSED:
                beat(watched, update, interval, known=answer == FENCED)
    finally:
        os._exit(0)


def _send_fenced(writer: int, fenced: bool) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(writer, FENCED if fenced else REFUSED)
    os.close(writer)


def _fenced(reader: int, watched: Controller) -> bytes:
    """Wait for the result of the fence; empty when the controller or the worker ended before."""
    while not select.select([reader], [], [], POLL_SECONDS)[0]:
        if watched.ended(0):
            return b""
    return os.read(reader, 1)


def beat(watched: Controller, update: Callable[[str], dict[str, Any]], interval: float, *, known: bool = True) -> None:
    """Renew until the run no longer holds the lease, or until the controller has ended; then expire.

    ``known``: the host was fenced. Otherwise the fence may still be in progress there when the controller has ended.
    """
    while not watched.ended(interval):
        # A stopped controller may never continue, and other runs wait for this one.
        if not watched.stopped() and _call(update, "renewed").get("owned") is False:
            return
    deadline = time.monotonic() + LAST_SECONDS
    while time.monotonic() < deadline:
        answer = _call(update, "expired")
        if answer.get("owned") or (known and answer):
            return
        time.sleep(POLL_SECONDS)


def _call(update: Callable[[str], dict[str, Any]], state: str) -> dict[str, Any]:
    """Return the host's result; empty without one."""
    try:
        found = update(state)
    except Exception:  # an unreachable host raises many kinds of errors; retry
        return {}
    return {} if found.get("failed") else found


def _detach() -> None:
    """Detach from the worker: its streams, signal handlers and result queue."""
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


def _exit_later(watched: Controller) -> None:
    """End this process and its connection some seconds after the controller."""
    while not watched.ended(3600):
        pass
    time.sleep(LAST_SECONDS)
    os.killpg(0, signal.SIGKILL)
