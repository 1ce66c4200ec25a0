# SPDX-License-Identifier: Apache-2.0
"""What becomes of the release that was live before: it finishes what it has, stays warm for a while when asked to, and is stopped.

Goes on after the command has ended, in a process of its own on the app host, with no lease. It looks again before every effect: the
first effect of any later run on this host ends it. A run that goes on without this host takes it out of every upstream, so what
is stopped here is never what an edge sends requests to (docs/decisions/0008-the-host-retires-the-old-release.md).
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
    """Where an app's folder says that a slot is on its way out."""
    return os.path.join(folder, "retire.json")


def read_note(folder: str, now: float) -> dict[str, Any] | None:
    """The slot that something on this host is about to stop; None when nothing is, or it should long be done."""
    note = read_json(note_file(folder))
    return note if note and now < note["until"] else None


def write_note(folder: str, slot: str, seconds: float) -> None:
    """Say that the slot will be gone after ``seconds`` at the latest."""
    write_json(note_file(folder), {"slot": slot, "until": time.time() + seconds})


def forget(folder: str) -> None:
    """Take the note back."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(note_file(folder))


def wait_idle(busy: Callable[[], bool], seconds: float) -> None:
    """Wait until nobody has been connected for two looks in a row, or ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        quiet = 0 if busy() else quiet + 1
        time.sleep(POLL_SECONDS)


def wait_warm(guard: Guard, seconds: float) -> bool:
    """Leave the slot alone for ``seconds``; False as soon as another run has changed the app here."""
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
    """Wait as told, and stop the slot unless a later run has changed the app here by then; whether it was stopped.

    ``condemn`` is called under the host's lock: after it no run counts on the slot. ``stop`` may take long, and is not.
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
        warm = WARM_POLL_SECONDS  # another run has fenced this host: see what it does
    return False


def in_background(name: str, work: Callable[[], None]) -> None:
    """Run ``work`` in a process that outlives this one and the session it belongs to; its failure goes to the system's log."""
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
    """The images of ``app`` that nothing refers to any more, out of those ``present`` (by digest).

    Kept are the images of the ``keep`` releases confirmed last, of every release that is newer than the oldest of these, of any other
    app's ledger, and what a container was made from. Images no ledger of this app knows are nobody's business here.
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
