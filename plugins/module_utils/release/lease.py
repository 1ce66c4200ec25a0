# SPDX-License-Identifier: Apache-2.0
"""Which run may change an app on a host: pure decisions about the lease that every host of the app keeps.

Each host guards itself. A run *fences* every host before it changes any: the host notes the run's id and refuses every other run
while that run's lease is alive. The lease is short; the run *renews* it as long as its controller lives, and *expires* it when the
controller has ended. The run's *token* is one more than the highest number any host has seen; it orders the runs of the whole fleet
in the ledgers and the edges' records, and a host that saw a higher one refuses a lower one for good.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class LeaseError(Exception):
    """The run may not change this app here; the message names the holder and what to do."""


class LeaseHeld(LeaseError):
    """Another live run holds the lease."""


class LeaseLost(LeaseError):
    """This run does not hold the lease, or no longer does."""


class Now(NamedTuple):
    """The time by one host's clocks. A lease is measured by the boot clock, which cannot be set."""

    boot: str  # id of the host's boot
    clock: float  # seconds since that boot, suspend included (CLOCK_BOOTTIME)
    wall: float  # seconds since 1970, for printed ages


class Lease(NamedTuple):
    """The lease as one host knows it."""

    app: str
    highest: int = 0  # the highest token this host has ever seen
    run_id: str | None = None
    action: str = ""
    who: str = ""
    since: float = 0.0  # wall clock
    expires: float = 0.0  # seconds of the boot clock
    boot: str = ""  # the boot that ``expires`` counts from; a lease of another boot has expired
    begun: str = ""  # the run's own start and id: of two runs that have only fenced, the older one wins
    working: bool = False  # whether the run has changed anything here
    broken: bool = False  # whether the lease was broken with playbooks/app/lease.yml
    displaced: dict[str, Any] | None = (
        None  # the previous lease, which had expired; restored if this run changes nothing
    )

    def left(self, now: Now) -> float:
        """Seconds until the lease expires; 0 without one."""
        return max(0.0, self.expires - now.clock) if self.run_id is not None and self.boot == now.boot else 0.0

    def alive(self, now: Now) -> bool:
        """Whether a run holds the lease."""
        return self.left(now) > 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as stored in the host's file and shown by status."""
        return self._asdict()

    @classmethod
    def from_dict(cls, app: str, data: dict[str, Any] | None) -> Lease:
        """Return the lease stored in a host's file; without one, a lease without a holder."""
        known = {key: value for key, value in (data or {}).items() if key in cls._fields}
        return cls(**{**known, "app": app})

    def described(self, now: Now) -> str:
        """Describe the holder for messages: action, user, run, age."""
        return (
            f"{self.action or 'a run'} by {self.who or 'unknown'} (run {self.run_id}), started {max(0, now.wall - self.since):.0f} s ago, "
            f"lease ends in {self.left(now):.0f} s"
        )


def fence(
    lease: Lease, *, run_id: str, action: str, who: str, begun: str, ttl: float, preempt: bool, now: Now
) -> Lease:
    """Return the lease after ``run_id`` fenced the host; raises LeaseHeld when a live run holds it and is not pre-empted.

    Two runs that start together may each be first on some hosts. The older one takes the lease from the younger as long as that
    one has changed nothing: all hosts decide alike, so exactly one continues.
    """
    held = lease.alive(now) and lease.run_id != run_id
    older = bool(lease.begun) and not lease.working and (begun, run_id) < (lease.begun, str(lease.run_id))
    if held and not preempt and not older:
        raise LeaseHeld(
            f"app {lease.app} is locked: {lease.described(now)}. Wait for it (-e release_wait_seconds=300), or pre-empt it with rollback.yml"
        )
    since = lease.since if lease.run_id == run_id else now.wall
    before = {**lease.to_dict(), "displaced": None} if lease.run_id not in (None, run_id) else lease.displaced
    return Lease(
        lease.app,
        lease.highest,
        run_id,
        action,
        who,
        since,
        expires=now.clock + ttl,
        boot=now.boot,
        begun=begun,
        displaced=before,
    )


def prove(lease: Lease, *, run_id: str, token: int, now: Now) -> Lease:
    """Return the lease, marked as used, if ``run_id`` still holds it; raises LeaseLost otherwise.

    An expired lease that no other run took still belongs to its run: nothing was changed meanwhile.
    """
    if lease.run_id != run_id or lease.broken:
        gone = (
            "its lease was broken with playbooks/app/lease.yml"
            if lease.broken
            else "it was released, or this host was never fenced"
        )
        owner = lease.described(now) if lease.run_id not in (None, run_id) else f"none: {gone}"
        raise LeaseLost(
            f"run {run_id} does not hold the lease of app {lease.app} on this host; its holder is {owner}. Nothing was changed by this step"
        )
    if token < lease.highest:
        raise LeaseLost(
            f"token {token} of run {run_id} is older than token {lease.highest} already seen for app {lease.app} on this host. "
            "Nothing was changed by this step; run the command again"
        )
    return lease._replace(highest=token, working=True, displaced=None)


def renew(lease: Lease, *, run_id: str, ttl: float, now: Now) -> Lease:
    """Return the lease, renewed for ``ttl`` seconds from now; raises LeaseLost when ``run_id`` has lost it for good.

    While the run that took the lease has changed nothing yet, the previous run may get it back: the lease stays as it is.
    """
    if lease.run_id == run_id and not lease.broken:
        return lease._replace(boot=now.boot, expires=now.clock + ttl)
    if (lease.displaced or {}).get("run_id") == run_id:
        return lease
    raise LeaseLost(f"run {run_id} no longer holds the lease of app {lease.app} on this host")


def expire(lease: Lease, *, run_id: str, now: Now) -> Lease:
    """Return the lease of a run whose controller has ended, expired at once; another run's lease is unchanged.

    The run stays on record, unlike after ``release``: it may have flipped an edge before it died, and a module it left running may
    continue until another run fences this host.
    """
    return lease._replace(boot=now.boot, expires=now.clock) if lease.run_id == run_id and lease.alive(now) else lease


def break_lease(lease: Lease, *, run_id: str, now: Now) -> Lease:
    """Return a lease that was broken by hand: expired and never renewed; its run changes nothing more here."""
    return expire(lease, run_id=run_id, now=now)._replace(broken=True) if lease.run_id == run_id else lease


def release(lease: Lease, *, run_id: str, completed: bool = False) -> Lease:
    """Return the lease released by its run; another run's lease is unchanged.

    A run that changed nothing here restores the previous lease: a run whose lease had only expired, or that was pre-empted by a
    rollback without a target, continues; one that died may have flipped the edges, and stays on record. Not when the run
    ``completed`` what it planned: then it finished what that one left, and that one must not continue.
    """
    if lease.run_id != run_id:
        return lease
    if lease.displaced and not completed:
        return Lease.from_dict(lease.app, lease.displaced)._replace(highest=lease.highest)
    return Lease(lease.app, lease.highest)


def next_token(highest_seen: list[int]) -> int:
    """Return one more than the highest token seen on any host."""
    return 1 + max(highest_seen, default=0)
