# SPDX-License-Identifier: Apache-2.0
"""The edge's record of an app: the confirmed release, the pending one, and its deadline. Pure.

A flip reverts automatically: after the deadline, by this edge's own clock, the pending release no longer counts, on every worker and
after a restart. Nothing has to run for that. Each function returns a new record, with ``seq`` one higher,
or the same one when there is nothing to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from ansible_collections.sluice.stack.plugins.module_utils import networks

SLOTS = ("blue", "green")
# A record is read on every request, has to fit into the control endpoint's 64 KiB, and in maintenance each client is compared with
# each network.
MESSAGE_LENGTH = 2000
ALLOWED_NETWORKS = 100
LONGEST_RETRY = 86400  # seconds


class Choice(TypedDict):
    """The release and slot that get requests."""

    release: str
    slot: str


class Pending(TypedDict):
    """A flip that is not confirmed yet."""

    release: str
    slot: str
    percent: int


class Share(TypedDict):
    """The release and slot for a share of the clients."""

    release: str
    slot: str
    percent: int


class Maintenance(TypedDict):
    """Every request gets a 503 with ``message``, except from the networks in ``allow`` and from the edge itself.

    ``since`` is in seconds since the epoch, of the edge's clock; ``retry_after`` in seconds.
    """

    since: float
    message: str
    retry_after: int
    allow: list[str]


class Record(TypedDict):
    """One app's record; ``deadline`` is in seconds since the epoch, of the edge's clock."""

    app: str
    confirmed: Choice | None
    pending: Pending | None
    deadline: float | None
    maintenance: Maintenance | None
    token: int
    seq: int


class RecordError(Exception):
    """The record refuses the change; the message says why and what to do."""


class Damaged(RecordError):
    """The data is not a record."""


class BadFlip(RecordError):
    """A flip that cannot be served."""


class BadMaintenance(RecordError):
    """A maintenance mode with an invalid value."""


class StaleToken(RecordError):
    """A later run has already written the record."""


class TooLate(RecordError):
    """The flip ended before it was confirmed."""


class NotPending(RecordError):
    """Another release is pending, or none."""


def empty(app: str) -> Record:
    """The record of an app that was never deployed."""
    return {"app": app, "confirmed": None, "pending": None, "deadline": None, "maintenance": None, "token": 0, "seq": 0}


def from_data(app: str, data: Any) -> Record:
    """Parse the record of a file; None is the record of an app that was never deployed. Raises Damaged."""
    if data is None:
        return empty(app)
    if isinstance(data, Mapping):
        data = {"maintenance": None, **data}  # written by a version without a maintenance mode
    if not (
        isinstance(data, Mapping)
        and set(data) == set(empty(app))
        and data["app"] == app
        and isinstance(data["token"], int)
        and isinstance(data["seq"], int)
        and _is_choice(data["confirmed"])
        and _is_choice(data["pending"])
        and (data["pending"] is None or isinstance(data["deadline"], int | float))
        and _is_maintenance(data["maintenance"])
    ):
        raise Damaged(
            f"the edge's record of {app} is damaged ({str(data)[:200]}): restore /var/lib/sluice-edge/{app}.json, or remove it, restart "
            "Nginx and deploy again"
        )
    return cast(Record, dict(data))


def _is_choice(value: Any) -> bool:
    return value is None or (
        isinstance(value, Mapping) and isinstance(value.get("release"), str) and value.get("slot") in SLOTS
    )


def _is_maintenance(value: Any) -> bool:
    return value is None or (
        isinstance(value, Mapping)
        and isinstance(value.get("since"), int | float)
        and isinstance(value.get("message"), str)
        and isinstance(value.get("retry_after"), int)
        and isinstance(value.get("allow"), list)
        and all(isinstance(entry, str) for entry in value["allow"])
    )


def pending_alive(record: Record, now: float) -> bool:
    """Whether a flip is pending at ``now``."""
    return record["pending"] is not None and record["deadline"] is not None and now < record["deadline"]


def effective(record: Record, now: float) -> list[Share]:
    """Return where requests go at ``now``, the pending release first; an empty list means 503.

    In maintenance this applies to the allowed clients.
    """
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
            f"token {token} is older than token {record['token']}, which last wrote the split of {record['app']}: a later run took over"
        )
    return {
        "app": record["app"],
        "confirmed": confirmed,
        "pending": pending,
        "deadline": deadline,
        "maintenance": record["maintenance"],
        "token": token,
        "seq": record["seq"] + 1,
    }


def _with_maintenance(record: Record, token: int, maintenance: Maintenance | None) -> Record:
    after = _next(record, token, confirmed=record["confirmed"], pending=record["pending"], deadline=record["deadline"])
    return {**after, "maintenance": maintenance}


def propose(record: Record, *, release: str, slot: str, percent: int, seconds: float, token: int, now: float) -> Record:
    """Return the record with a flip pending until ``now + seconds``. Raises StaleToken or BadFlip."""
    if not 1 <= percent <= 100:
        raise BadFlip(f"a flip takes 1 to 100 percent of the clients, not {percent}")
    if slot not in SLOTS:
        raise BadFlip(f"slot {slot!r} is neither blue nor green")
    if seconds <= 0:
        raise BadFlip(f"a flip must last longer than {seconds:g} s: set app_confirm_seconds")
    confirmed = record["confirmed"]
    if confirmed and confirmed["slot"] == slot and confirmed["release"] != release:
        # Its containers would have to be replaced while they are live.
        raise BadFlip(
            f"slot {slot} serves the confirmed release {confirmed['release']}: {release} belongs in the other slot"
        )
    pending: Pending = {"release": release, "slot": slot, "percent": percent}
    return _next(record, token, confirmed=confirmed, pending=pending, deadline=round(now + seconds, 3))


def confirm(record: Record, *, release: str, token: int, now: float) -> Record:
    """Return the record with the flip made permanent; unchanged when the release is already confirmed, except for another expired flip.

    Raises StaleToken, NotPending or TooLate.
    """
    confirmed, pending = record["confirmed"], record["pending"]
    if confirmed and confirmed["release"] == release and not pending_alive(record, now):
        return _next(record, token, confirmed=confirmed, pending=None, deadline=None) if pending else record
    if pending is None or pending["release"] != release:
        tried = f"release {pending['release']} is" if pending else "no release is"
        raise NotPending(
            f"release {release} cannot be confirmed: {tried} pending for {record['app']} on this edge; run the command again"
        )
    if not pending_alive(record, now):
        raise TooLate(
            f"release {release} was confirmed {now - (record['deadline'] or 0):.1f} s after its deadline, the flip had already reverted: "
            "run the command again, with a longer app_confirm_seconds if the edges are slow"
        )
    return _next(record, token, confirmed={"release": release, "slot": pending["slot"]}, pending=None, deadline=None)


def adopt(record: Record, *, release: str, slot: str, token: int) -> Record:
    """Return the record with a release that another edge confirmed; unchanged when it already has it. Raises StaleToken."""
    choice: Choice = {"release": release, "slot": slot}
    if record["confirmed"] == choice and record["pending"] is None:
        return record
    return _next(record, token, confirmed=choice, pending=None, deadline=None)


def abort(record: Record, *, token: int, release: str | None = None) -> Record:
    """Return the record without the flip (of ``release``, or any); unchanged without one. Raises StaleToken."""
    pending = record["pending"]
    if pending is None or (release is not None and pending["release"] != release):
        return record
    return _next(record, token, confirmed=record["confirmed"], pending=None, deadline=None)


def maintain(record: Record, *, message: str, retry_after: int, allow: Sequence[str], token: int, now: float) -> Record:
    """Return the record in maintenance; unchanged when nothing differs. Raises StaleToken or BadMaintenance.

    ``allow`` holds addresses and networks, IPv4 and IPv6. The confirmed and pending releases stay as they are.
    """
    if not 1 <= retry_after <= LONGEST_RETRY:
        raise BadMaintenance(f"retry_after of maintenance is {retry_after} s: set it to 1 to {LONGEST_RETRY}")
    if not message.strip() or len(message) > MESSAGE_LENGTH:
        raise BadMaintenance(
            f"the message of maintenance has {len(message.strip())} characters: write 1 to {MESSAGE_LENGTH}"
        )
    if len(allow) > ALLOWED_NETWORKS:
        raise BadMaintenance(
            f"maintenance allows at most {ALLOWED_NETWORKS} networks, not {len(allow)}: use larger networks"
        )
    before = record["maintenance"]
    maintenance: Maintenance = {
        "since": before["since"] if before else round(now, 3),
        "message": message,
        "retry_after": retry_after,
        "allow": sorted({network(entry) for entry in allow}),
    }
    return record if maintenance == before else _with_maintenance(record, token, maintenance)


def serve(record: Record, *, token: int) -> Record:
    """Return the record without maintenance; unchanged without any. Raises StaleToken."""
    return record if record["maintenance"] is None else _with_maintenance(record, token, None)


def network(entry: str) -> str:
    """Normalise an address or network for the edge. Raises BadMaintenance."""
    try:
        return networks.normal(entry)
    except networks.BadNetwork as error:
        raise BadMaintenance(f"maintenance cannot allow {entry!r}{error}") from None
