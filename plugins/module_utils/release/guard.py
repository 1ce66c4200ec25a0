# SPDX-License-Identifier: Apache-2.0
"""The guard every step that changes a host goes through, once before each effect."""

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
# The longest that an effect of another run may take once that run has lost the app: a container that is being stopped, a reload.
EFFECT_SECONDS = 120.0


def host_now() -> Now:
    """This moment by this host's clocks. The clock of the boot is not moved by NTP or a person, and goes on in suspend."""
    with open(BOOT_ID, encoding="ascii") as handle:
        boot = handle.read().strip()
    return Now(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def read_lease(app: str, root: str = STATE_ROOT) -> Lease:
    """The lease this host holds for ``app``."""
    return Lease.from_dict(app, read_json(os.path.join(app_folder(app, root), "lease.json")))


# What every module that changes a host is told of its run; plugins/doc_fragments/run.py documents it.
RUN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "app": {"type": "str", "required": True},
    "run_id": {"type": "str", "required": True},
    "token": {"type": "int", "required": True, "no_log": False},
}
# Of those that also write the ledger or give the app back in the same round; plugins/doc_fragments/outcome.py documents it.
OUTCOME_ARGUMENTS: dict[str, dict[str, Any]] = {
    "entries": {"type": "list", "elements": "dict", "default": []},
    "release_lease": {"type": "bool", "default": False},
}


class Guard:
    """One run's right to change one app on this host.

    A killed controller leaves its module running, and a paused one wakes up late: so the right is proved again before each effect. Two
    locks keep that apart from the lease itself, which is renewed and taken while an effect is under way: ``lease.lock`` is held for
    a moment around each change of the lease, ``lock`` over a whole effect. Who fences takes the lease first and then waits for the effect
    that is under way, so nothing of an earlier run happens after a fence.
    """

    def __init__(self, app: str, run_id: str, token: int = 0, root: str = STATE_ROOT) -> None:
        self.app, self.run_id, self.token = app, run_id, token
        self.folder = app_folder(app, root)
        self._file = os.path.join(self.folder, "lease.json")
        self._lock = os.path.join(self.folder, "lock")

    def _read(self) -> Lease:
        return Lease.from_dict(self.app, read_json(self._file))

    def _change(self, decide: Callable[[Lease, Now], Lease]) -> Lease:
        """Replace the lease by what is decided about it; returns the lease as it was before."""
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
        """Prove the right, and hold the host's lock over the effect. Raises LeaseLost when the app has another owner on this host.

        What may take more than a few seconds calls ``check`` meanwhile, or does not belong in an effect: a run that fences waits for it.
        """
        with locked(self._lock):
            self._change(self._proved)
            yield

    def check(self) -> None:
        """Raise LeaseLost when the app has another owner by now; for an effect that can end early and leave the host as it found it."""
        self._proved(self._read(), host_now())

    def cause(self, error: Exception) -> str:
        """Why a step failed: another run took the app, where that is so. What was under way was taken away by it then."""
        try:
            self.check()
        except LeaseError as excluded:
            return str(excluded)
        return str(error)

    def fence(self, *, action: str, who: str, begun: str, ttl: float, preempt: bool) -> Lease:
        """Take the app on this host; returns the lease as it was before. Raises LeaseHeld.

        An effect of the run before, whose controller may be long dead, is waited for: it has lost the app and ends early where it can.
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
                f"app {self.app}: a step of {before.action or 'a run'} (run {before.run_id}) is still at work on this host after "
                f"{EFFECT_SECONDS:g} s: look for its process (fuser {self._lock}), then run the command again"
            ) from None

    def renew(self, ttl: float) -> None:
        """Keep the app for ``ttl`` seconds from now. Raises LeaseLost when another run has it for good."""
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
        """Take the app from this run, which may still live."""
        if not self._forgotten():
            self._change(lambda lease, now: leases.break_lease(lease, run_id=self.run_id, now=now))

    def release(self) -> None:
        """Give the app back on this host, if this run has it."""
        if not self._forgotten():
            self._change(lambda lease, _unused: leases.release(lease, run_id=self.run_id))

    def undisturbed(self) -> bool | None:
        """Whether no other run has changed the app since this one did; None while another one has fenced this host.

        For what goes on after the run gave the app back. A lease that ran out says nothing: its run may have flipped the edges and
        died. The caller holds the lock, or asks again under it.
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
        """Write ledger entries and, when told so, give the app back; whether anything was written. Raises LeaseLost.

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
