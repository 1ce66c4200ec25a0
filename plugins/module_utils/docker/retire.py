# SPDX-License-Identifier: Apache-2.0
"""Retire the previously live release: drain it, keep it as a warm standby if configured, then stop it.

Continues after the command has ended, in its own process on the app host, without a lease. It checks before every effect: the first
effect of any later run on this host ends it. A run that excludes this host removes it from every upstream, so no edge sends
requests to what is stopped here (docs/decisions/0008-the-host-retires-the-old-release.md).
"""

from __future__ import annotations

import contextlib
import os
import syslog
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard

POLL_SECONDS = 0.25
WARM_POLL_SECONDS = 2.0


def note_file(folder: str) -> str:
    """Return the file that names the slot about to be stopped."""
    return os.path.join(folder, "retire.json")


def read_note(folder: str, now: float) -> dict[str, Any] | None:
    """Return the slot about to be stopped on this host; None without one, or when its time is over."""
    note = read_json(note_file(folder))
    return note if note and now < note["until"] else None


def write_note(folder: str, slot: str, seconds: float) -> None:
    """Note that the slot will be stopped within ``seconds``."""
    write_json(note_file(folder), {"slot": slot, "until": time.time() + seconds})


def forget(folder: str) -> None:
    """Remove the note."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(note_file(folder))


def wait_idle(busy: Callable[[], bool], seconds: float) -> None:
    """Wait until two checks in a row find no connection, or ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        quiet = 0 if busy() else quiet + 1
        time.sleep(POLL_SECONDS)


def wait_warm(guard: Guard, seconds: float) -> bool:
    """Keep the slot running for ``seconds``; False as soon as another run has changed the app here."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if guard.undisturbed() is False:
            return False
        time.sleep(min(WARM_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    return True


def finish(
    guard: Guard,
    condemn: Callable[[], None],
    stop: Callable[[], None],
    *,
    busy: Callable[[], bool],
    warm: float,
    drain: float,
) -> bool:
    """Drain and wait, then stop the slot unless a later run has changed the app here; returns whether it was stopped.

    ``condemn`` is called under the host's lock: after it no run relies on the slot. ``stop`` may take long and runs without the lock.
    """
    while wait_warm(guard, warm):
        wait_idle(busy, drain)
        with guard.afterwards() as undisturbed:
            if undisturbed:
                condemn()
        if undisturbed:
            stop()
            with guard.afterwards() as undisturbed:
                if undisturbed:
                    forget(guard.folder)  # a later run writes its own
            return True
        if undisturbed is False or read_note(guard.folder, time.time()) is None:
            break
        warm = WARM_POLL_SECONDS  # another run has fenced this host: check again soon
    return False


def in_background(name: str, work: Callable[[], None]) -> None:
    """Run ``work`` in a process that outlives this one and its session; a failure goes to syslog."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        syslog.openlog("sluice", syslog.LOG_PID)
        work()
    except BaseException as error:
        syslog.syslog(syslog.LOG_ERR, f"{name}: {str(error) or type(error).__name__}")
    finally:
        os._exit(0)


def unneeded_images(
    ledgers: Mapping[str, Sequence[Mapping[str, Any]]],
    app: str,
    keep: int,
    present: Sequence[str],
    in_use: Sequence[str],
) -> list[str]:
    """Return the images of ``app`` among those ``present`` (by digest) that nothing refers to any more.

    Keeps the images of the ``keep`` releases confirmed last, of every release newer than the oldest of these, of other apps' ledgers,
    and of existing containers. Images unknown to this app's ledger are not touched.
    """
    mine: dict[str, set[str]] = {}
    confirmed: list[str] = []
    foreign: set[str] = set(in_use)
    for owner, entries in ledgers.items():
        for item in entries:
            manifest = item.get("manifest")
            images = {service["image"] for service in manifest["services"].values()} if manifest else set()
            if owner != app:
                foreign |= images
                continue
            mine.setdefault(str(item["release"]), set()).update(images)
            if item["event"] == "confirmed":
                confirmed = [*(one for one in confirmed if one != item["release"]), str(item["release"])]
    kept = set(confirmed[-keep:])
    oldest = min(kept, default="")
    needed = {image for release, images in mine.items() if release in kept or release >= oldest for image in images}
    return sorted(set().union(*mine.values()) & set(present) - needed - foreign)
