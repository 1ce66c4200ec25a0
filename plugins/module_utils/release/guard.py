# SPDX-License-Identifier: Apache-2.0
"""The guard every step that changes a host goes through, once before each effect."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.paths import STATE_ROOT, app_folder
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import Lease, LeaseError, LeaseHeld, LeaseLost

__all__ = ["OUTCOME_ARGUMENTS", "RUN_ARGUMENTS", "Guard", "LeaseError", "LeaseHeld", "LeaseLost", "read_lease"]

WAIT_POLL_SECONDS = 1.0


def read_lease(app: str, root: str = STATE_ROOT) -> Lease:
    """The lease this host holds for ``app``."""
    return Lease.from_dict(app, read_json(os.path.join(app_folder(app, root), "lease.json")))


# What every module that changes a host is told of its run; plugins/doc_fragments/run.py documents it.
RUN_ARGUMENTS: dict[str, dict[str, Any]] = {
    "app": {"type": "str", "required": True},
    "run_id": {"type": "str", "required": True},
    "token": {"type": "int", "required": True, "no_log": False},
    "lease_seconds": {"type": "float", "default": 60},
}
# Of those that also write the ledger or give the app back in the same round; plugins/doc_fragments/outcome.py documents it.
OUTCOME_ARGUMENTS: dict[str, dict[str, Any]] = {
    "entries": {"type": "list", "elements": "dict", "default": []},
    "release_lease": {"type": "bool", "default": False},
}


class Guard:
    """One run's right to change one app on this host.

    A killed controller leaves its module running to the end of its work, and a paused one wakes up late: so the
    right is proved again, under the host's lock, before each effect.
    """

    def __init__(self, app: str, run_id: str, token: int = 0, root: str = STATE_ROOT) -> None:
        self.app, self.run_id, self.token = app, run_id, token
        self.folder = app_folder(app, root)
        self._file = os.path.join(self.folder, "lease.json")
        self._lock = os.path.join(self.folder, "lock")

    def _read(self) -> Lease:
        return Lease.from_dict(self.app, read_json(self._file))

    @contextlib.contextmanager
    def effect(self, extend: float) -> Iterator[None]:
        """Prove the right, extend the lease by ``extend`` seconds from now, and hold the lock over the effect.

        Raises LeaseLost when the app has another owner on this host.
        """
        with locked(self._lock):
            write_json(
                self._file,
                leases.prove(
                    self._read(), run_id=self.run_id, token=self.token, extend=extend, now=time.time()
                ).to_dict(),
            )
            yield

    def cause(self, error: Exception) -> str:
        """Why a step failed: another run took the app, where that is so. What was under way was taken away by it then."""
        try:
            with self.effect(extend=0):
                return str(error)
        except LeaseError as excluded:
            return str(excluded)

    def fence(self, *, action: str, who: str, begun: str, ttl: float, preempt: bool, wait: float = 0) -> Lease:
        """Take the app on this host, within ``wait`` seconds; returns the lease as it was before. Raises LeaseHeld."""
        deadline = time.monotonic() + wait
        while True:
            try:
                with locked(self._lock):
                    before = self._read()
                    taken = leases.fence(
                        before,
                        run_id=self.run_id,
                        action=action,
                        who=who,
                        begun=begun,
                        # Other hosts may have to be waited for as long.
                        ttl=ttl + wait,
                        preempt=preempt,
                        now=time.time(),
                    )
                    write_json(self._file, taken.to_dict())
                return before
            except LeaseHeld:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(WAIT_POLL_SECONDS)

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
        with locked(self._lock):
            yield self.undisturbed()

    def finish(self, entries: Sequence[dict[str, Any]], *, release_lease: bool, extend: float = 60) -> bool:
        """Write ledger entries and, when told so, give the app back; whether anything was written. Raises LeaseLost."""
        written = False
        if entries:
            with self.effect(extend=extend):
                written = ledger.append(os.path.join(self.folder, "ledger.jsonl"), entries)
        if release_lease:
            self.release()
        return written

    def release(self) -> None:
        """Give the app back on this host, if this run has it."""
        with locked(self._lock):
            before = self._read()
            after = leases.release(before, run_id=self.run_id)
            if after != before:
                write_json(self._file, after.to_dict())
