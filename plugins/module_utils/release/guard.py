# SPDX-License-Identifier: Apache-2.0
"""The guard of every step that changes a host: it checks the lease before each effect."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.paths import STATE_ROOT, app_folder
from ansible_collections.sluice.stack.plugins.module_utils.release import compaction, ledger
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import (
    Lease,
    LeaseError,
    LeaseHeld,
    LeaseLost,
    Now,
)

__all__ = [
    "OUTCOME_ARGUMENTS",
    "RUN_ARGUMENTS",
    "Guard",
    "LeaseError",
    "LeaseHeld",
    "LeaseLost",
    "Now",
    "host_now",
    "read_lease",
]

BOOT_ID = "/proc/sys/kernel/random/boot_id"
# The longest that an effect of another run may take after that run lost its lease, such as stopping a container or a reload.
EFFECT_SECONDS = 120.0


def host_now() -> Now:
    """Return this host's current time. The boot clock cannot be set, by NTP or by hand, and keeps counting in suspend."""
    with open(BOOT_ID, encoding="ascii") as handle:
        boot = handle.read().strip()
    return Now(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def read_lease(app: str, root: str = STATE_ROOT) -> Lease:
    """Read this host's lease of ``app``."""
    return Lease.from_dict(app, read_json(os.path.join(app_folder(app, root), "lease.json")))


# Arguments of every module that changes a host; documented in plugins/doc_fragments/run.py.
RUN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "app": {"type": "str", "required": True},
    "run_id": {"type": "str", "required": True},
    "token": {"type": "int", "required": True, "no_log": False},
}
# Arguments of modules that also write the ledger or release the lease; documented in plugins/doc_fragments/outcome.py.
OUTCOME_ARGUMENTS: dict[str, dict[str, Any]] = {
    "entries": {"type": "list", "elements": "dict", "default": []},
    "release_lease": {"type": "bool", "default": False},
}


class Guard:
    """One run's right to change one app on this host.

    A killed controller leaves its module running, and a paused one resumes late, so the lease is checked before each effect. Two
    locks allow the lease to be renewed and taken during an effect: ``lease.lock`` is held briefly around each change of the lease,
    ``lock`` for a whole effect. A run that fences takes the lease first and then waits for the current effect, so an earlier
    run has no effect after a fence.
    """

    def __init__(self, app: str, run_id: str, token: int = 0, root: str = STATE_ROOT) -> None:
        self.app, self.run_id, self.token = app, run_id, token
        self.folder = app_folder(app, root)
        self._file = os.path.join(self.folder, "lease.json")
        self._lock = os.path.join(self.folder, "lock")

    def _read(self) -> Lease:
        return Lease.from_dict(self.app, read_json(self._file))

    def _change(self, decide: Callable[[Lease, Now], Lease]) -> Lease:
        """Replace the lease with the result of ``decide``; returns the previous lease."""
        with locked(os.path.join(self.folder, "lease.lock")):
            before = self._read()
            after = decide(before, host_now())
            if after != before:
                write_json(self._file, after.to_dict())
            return before

    def _forgotten(self) -> bool:
        """Whether the app was removed from this host: who comes late must not make its folder again."""
        return not os.path.isdir(self.folder)

    def _proved(self, lease: Lease, now: Now) -> Lease:
        return leases.prove(lease, run_id=self.run_id, token=self.token, now=now)

    @contextlib.contextmanager
    def effect(self) -> Iterator[None]:
        """Check the lease and hold the host's lock during the effect. Raises LeaseLost when another run holds the lease on this host.

        An effect of more than a few seconds calls ``check`` meanwhile, or does not belong here: a run that fences waits for it.
        """
        with locked(self._lock):
            self._change(self._proved)
            yield

    @contextlib.contextmanager
    def turn(self, part: str) -> Iterator[None]:
        """Be the only one to work on a ``part`` of the app on this host, and let another run fence meanwhile.

        For work of many effects with waits between, which reverts to what was there when it loses the lease. Raises LeaseLost.
        """
        if self._forgotten():
            raise LeaseLost(f"app {self.app} was removed from this host")
        try:
            with locked(os.path.join(self.folder, f"{part}.lock"), EFFECT_SECONDS):
                self.check()
                yield
        except TimeoutError:
            raise LeaseHeld(
                f"app {self.app}: an earlier run still works on its {part} on this host after {EFFECT_SECONDS:g} s: "
                f"find its process (fuser {os.path.join(self.folder, part)}.lock), then run the command again"
            ) from None

    def check(self) -> None:
        """Raise LeaseLost when another run now holds the lease; for an effect that can stop early and leave the host unchanged."""
        self._proved(self._read(), host_now())

    def cause(self, error: Exception) -> str:
        """Return why a step failed: the lost lease when another run took it, since that run interrupts what is in progress."""
        try:
            self.check()
        except LeaseError as lost:
            return str(lost)
        return str(error)

    def fence(self, *, action: str, who: str, begun: str, ttl: float, preempt: bool) -> Lease:
        """Take the lease on this host; returns the previous lease. Raises LeaseHeld.

        Waits for an effect of the previous run, whose controller may be dead: it has lost the lease and stops early where it can.
        """

        def taken(lease: Lease, now: Now) -> Lease:
            return leases.fence(
                lease, run_id=self.run_id, action=action, who=who, begun=begun, ttl=ttl, preempt=preempt, now=now
            )

        before = self._change(taken)
        try:
            with locked(self._lock, EFFECT_SECONDS):
                return before
        except TimeoutError:
            self.release()
            raise LeaseHeld(
                f"app {self.app}: a step of {before.action or 'a run'} (run {before.run_id}) is still running on this host after "
                f"{EFFECT_SECONDS:g} s: find its process (fuser {self._lock}), then run the command again"
            ) from None

    def renew(self, ttl: float) -> None:
        """Renew the lease for ``ttl`` seconds from now. Raises LeaseLost when another run holds it for good."""
        if self._forgotten():
            raise LeaseLost(f"app {self.app} was removed from this host")
        self._change(lambda lease, now: leases.renew(lease, run_id=self.run_id, ttl=ttl, now=now))

    def expire(self) -> bool:
        """Let another run take the app at once; this one's controller has ended. Whether the app was this run's."""
        if self._forgotten():
            return False
        before = self._change(lambda lease, now: leases.expire(lease, run_id=self.run_id, now=now))
        return before.run_id == self.run_id

    def break_lease(self) -> None:
        """Break the lease of this run, which may still be alive."""
        if not self._forgotten():
            self._change(lambda lease, now: leases.break_lease(lease, run_id=self.run_id, now=now))

    def release(self, *, completed: bool = False) -> None:
        """Release the lease on this host, if this run holds it. ``completed``: it did all it planned, on other hosts."""
        if not self._forgotten():
            self._change(lambda lease, _unused: leases.release(lease, run_id=self.run_id, completed=completed))

    def undisturbed(self) -> bool | None:
        """Whether no other run has changed the app since this one did; None while another one has fenced this host.

        For work that continues after the run released the lease. An expired lease proves nothing: its run may have flipped the edges and
        died. The caller holds the lock, or checks again under it.
        """
        lease = self._read()
        if lease.highest != self.token:
            return False
        return True if lease.run_id in (None, self.run_id) else None

    @contextlib.contextmanager
    def afterwards(self) -> Iterator[bool | None]:
        """Hold the lock over an effect that needs no lease; gives what ``undisturbed`` says under it."""
        if self._forgotten():
            yield False
            return
        with locked(self._lock):
            yield self.undisturbed()

    def finish(
        self, entries: Sequence[dict[str, Any]], *, release_lease: bool, keep: int = 0, pinned: Collection[str] = ()
    ) -> bool:
        """Write ledger entries and, with ``release_lease``, release the lease; whether anything was written. Raises LeaseLost.

        With ``keep`` the ledger is compacted to so many releases, and those ``pinned``.
        """
        written, path = False, os.path.join(self.folder, "ledger.jsonl")
        if entries:
            with self.effect():
                written = ledger.append(path, entries)
                if keep:
                    compaction.compact_file(path, keep, pinned)
        if release_lease:
            self.release()
        return written
