# SPDX-License-Identifier: Apache-2.0
"""The edge's record of an app: what is confirmed, what is being tried, and until when. Pure.

The record undoes a flip by itself: after the deadline the pending release does not count any more, by this edge's own clock, on
every worker, through a restart too. Nothing has to run for that. Each function returns a new record, with ``seq`` one higher,
or the same one when there is nothing to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

SLOTS = ("blue", "green")


class Choice(TypedDict):
    """What requests are sent to."""

    release: str
    slot: str


class Pending(TypedDict):
    """A flip that is not confirmed yet."""

    release: str
    slot: str
    percent: int


class Share(TypedDict):
    """What a part of the visitors is sent to."""

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


class Damaged(RecordError):
    """What was read is not a record."""


class BadFlip(RecordError):
    """A flip that could never be served."""


class StaleToken(RecordError):
    """A later run has written the record already."""


class TooLate(RecordError):
    """The flip ended before it was confirmed."""


class NotPending(RecordError):
    """Another release, or none, is being tried."""


def empty(app: str) -> Record:
    """The record of an app that was never deployed."""
    return {"app": app, "confirmed": None, "pending": None, "deadline": None, "token": 0, "seq": 0}


def from_data(app: str, data: Any) -> Record:
    """The record kept in a file; None, the record of an app that was never deployed. Raises Damaged."""
    if data is None:
        return empty(app)
    if not (
        isinstance(data, Mapping)
        and set(data) == set(empty(app))
        and data["app"] == app
        and isinstance(data["token"], int)
        and isinstance(data["seq"], int)
        and _is_choice(data["confirmed"])
        and _is_choice(data["pending"])
        and (data["pending"] is None or isinstance(data["deadline"], int | float))
    ):
        raise Damaged(
            f"the edge's record of {app} is damaged ({str(data)[:200]}): put back /var/lib/sluice-edge/{app}.json, or remove it, restart "
            "Nginx and deploy again"
        )
    return cast(Record, dict(data))


def _is_choice(value: Any) -> bool:
    return value is None or (
        isinstance(value, Mapping) and isinstance(value.get("release"), str) and value.get("slot") in SLOTS
    )


def pending_alive(record: Record, now: float) -> bool:
    """Whether a flip is being tried at ``now``."""
    return record["pending"] is not None and record["deadline"] is not None and now < record["deadline"]


def effective(record: Record, now: float) -> list[Share]:
    """What requests are sent to at ``now``, the tried release first; an empty list answers 503."""
    pending, confirmed = record["pending"], record["confirmed"]
    tried = pending["percent"] if pending and pending_alive(record, now) else 0
    shares: list[Share] = []
    if pending and tried:
        shares.append({"release": pending["release"], "slot": pending["slot"], "percent": tried})
    if confirmed and tried < 100:
        shares.append({"release": confirmed["release"], "slot": confirmed["slot"], "percent": 100 - tried})
    return shares


def _next(
    record: Record, token: int, *, confirmed: Choice | None, pending: Pending | None, deadline: float | None
) -> Record:
    if token < record["token"]:
        raise StaleToken(
            f"token {token} is older than token {record['token']}, which wrote the split of {record['app']} last: a later run took over"
        )
    return {
        "app": record["app"],
        "confirmed": confirmed,
        "pending": pending,
        "deadline": deadline,
        "token": token,
        "seq": record["seq"] + 1,
    }


def propose(record: Record, *, release: str, slot: str, percent: int, seconds: float, token: int, now: float) -> Record:
    """The record with a flip to try until ``now + seconds``. Raises StaleToken or BadFlip."""
    if not 1 <= percent <= 100:
        raise BadFlip(f"a flip takes 1 to 100 per cent of the visitors, not {percent}")
    if slot not in SLOTS:
        raise BadFlip(f"slot {slot!r} is neither blue nor green")
    if seconds <= 0:
        raise BadFlip(f"a flip lasts longer than {seconds:g} s: set app_confirm_seconds")
    confirmed = record["confirmed"]
    if confirmed and confirmed["slot"] == slot and confirmed["release"] != release:
        # Its containers would have had to be replaced while they serve.
        raise BadFlip(
            f"slot {slot} serves the confirmed release {confirmed['release']}: {release} belongs in the other slot"
        )
    pending: Pending = {"release": release, "slot": slot, "percent": percent}
    return _next(record, token, confirmed=confirmed, pending=pending, deadline=round(now + seconds, 3))


def confirm(record: Record, *, release: str, token: int, now: float) -> Record:
    """The record with the flip made permanent; unchanged when it is already. Raises StaleToken, NotPending or TooLate."""
    confirmed, pending = record["confirmed"], record["pending"]
    if confirmed and confirmed["release"] == release and pending is None:
        return record
    if pending is None or pending["release"] != release:
        tried = f"release {pending['release']} is" if pending else "no release is"
        raise NotPending(
            f"release {release} cannot be confirmed: {tried} being tried for {record['app']} on this edge; run the command again"
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
    return _next(record, token, confirmed=record["confirmed"], pending=None, deadline=None)
