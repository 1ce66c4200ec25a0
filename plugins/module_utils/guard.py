# SPDX-License-Identifier: Apache-2.0
"""The guard every step that changes a host goes through, once before each effect."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from ansible_collections.sluice.stack.plugins.module_utils import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.lease import Lease, LeaseError, LeaseHeld, LeaseLost

__all__ = ["STATE_ROOT", "Guard", "LeaseError", "LeaseHeld", "LeaseLost", "app_folder", "read_lease"]

STATE_ROOT = "/var/lib/sluice"


def app_folder(app: str, root: str = STATE_ROOT) -> str:
    """Where a host keeps what it knows of an app."""
    return os.path.join(root, "apps", app)


def read_lease(app: str, root: str = STATE_ROOT) -> Lease:
    """The lease this host holds for ``app``."""
    return Lease.from_dict(app, read_json(os.path.join(app_folder(app, root), "lease.json")))


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

    def fence(self, *, action: str, who: str, ttl: float, preempt: bool) -> Lease:
        """Take the app on this host; returns the lease as it was before. Raises LeaseHeld."""
        with locked(self._lock):
            before = self._read()
            taken = leases.fence(
                before, run_id=self.run_id, action=action, who=who, ttl=ttl, preempt=preempt, now=time.time()
            )
            write_json(self._file, taken.to_dict())
        return before

    def release(self) -> None:
        """Give the app back on this host, if this run has it."""
        with locked(self._lock):
            before = self._read()
            after = leases.release(before, run_id=self.run_id)
            if after != before:
                write_json(self._file, after.to_dict())
