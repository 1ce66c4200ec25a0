# SPDX-License-Identifier: Apache-2.0
"""The edge's record of an app: what is confirmed, what is being tried, and until when. Pure.

The record undoes a flip by itself: after the deadline the pending release does not count any more, by this edge's own clock, on
every worker, through a restart too. Nothing has to run for that.
"""

from __future__ import annotations

from typing import Any, TypedDict


class Choice(TypedDict):
    """What requests are sent to."""

    release: str
    slot: str


class Pending(TypedDict):
    """A flip that is not confirmed yet."""

    release: str
    slot: str
    percent: int


class Record(TypedDict):
    """One app's record; ``deadline`` is in seconds since the epoch, of the edge's clock."""

    app: str
    confirmed: Choice | None
    pending: Pending | None
    deadline: float | None
    token: int
    seq: int


class RecordError(Exception):
    """The record refuses the change; the message says why and what to do."""


class StaleToken(RecordError):
    """A later run has written the record already."""


class TooLate(RecordError):
    """The flip ended before it was confirmed."""


class NotPending(RecordError):
    """Another release, or none, is being tried."""


def empty(app: str) -> Record:
    """The record of an app that was never deployed."""
    return {"app": app, "confirmed": None, "pending": None, "deadline": None, "token": 0, "seq": 0}


def from_data(app: str, data: dict[str, Any] | None) -> Record:
    """The record kept in a file; an edge that has none was never deployed to."""
    return {**empty(app), **(data or {}), "app": app}  # type: ignore[typeddict-item]


def pending_alive(record: Record, now: float) -> bool:
    """Whether a flip is being tried at ``now``."""
    return record["pending"] is not None and record["deadline"] is not None and now < record["deadline"]


def effective(record: Record, now: float) -> list[tuple[Choice, int]]:
    """What requests are sent to at ``now``, with per cent; an empty list answers 503."""
    pending, confirmed = record["pending"], record["confirmed"]
    shares: list[tuple[Choice, int]] = []
    tried = pending["percent"] if pending and pending_alive(record, now) else 0
    if pending and tried:
        shares.append(({"release": pending["release"], "slot": pending["slot"]}, tried))
    if confirmed and tried < 100:
        shares.append((confirmed, 100 - tried))
    return shares


def _next(record: Record, token: int, **changes: Any) -> Record:
    if token < record["token"]:
        raise StaleToken(
            f"token {token} is older than token {record['token']}, which wrote the split of {record['app']} last: a later run took over"
        )
    return {**record, **changes, "token": token, "seq": record["seq"] + 1}  # type: ignore[typeddict-item]


def propose(record: Record, *, release: str, slot: str, percent: int, seconds: float, token: int, now: float) -> Record:
    """The record with a flip to try until ``now + seconds``. Raises StaleToken."""
    pending: Pending = {"release": release, "slot": slot, "percent": percent}
    return _next(record, token, pending=pending, deadline=now + seconds)


def confirm(record: Record, *, release: str, token: int, now: float) -> Record:
    """The record with the flip made permanent; unchanged when it is already. Raises StaleToken, NotPending or TooLate."""
    confirmed, pending = record["confirmed"], record["pending"]
    if confirmed and confirmed["release"] == release and pending is None:
        return record
    if pending is None or pending["release"] != release:
        tried = pending["release"] if pending else "nothing"
        raise NotPending(
            f"release {release} cannot be confirmed: {tried} is being tried for {record['app']} on this edge"
        )
    if not pending_alive(record, now):
        raise TooLate(
            f"release {release} was confirmed {now - (record['deadline'] or 0):.1f} s after its deadline, the split had gone back by itself: "
            "run the command again, with a longer app_confirm_seconds if the edges are slow"
        )
    return _next(record, token, confirmed={"release": release, "slot": pending["slot"]}, pending=None, deadline=None)


def adopt(record: Record, *, release: str, slot: str, token: int) -> Record:
    """The record with a release that another edge has confirmed; unchanged when it has it already. Raises StaleToken."""
    choice: Choice = {"release": release, "slot": slot}
    if record["confirmed"] == choice and record["pending"] is None:
        return record
    return _next(record, token, confirmed=choice, pending=None, deadline=None)


def abandon(record: Record, *, token: int, release: str | None = None) -> Record:
    """The record without the flip (of ``release``, or whichever); unchanged when there is none. Raises StaleToken."""
    pending = record["pending"]
    if pending is None or (release is not None and pending["release"] != release):
        return record
    return _next(record, token, pending=None, deadline=None)
