# SPDX-License-Identifier: Apache-2.0
"""The edge's record of an app: what is confirmed, what is being tried, and until when. Pure.

The record undoes a flip by itself: after the deadline the pending release does not count any more, by this edge's own clock, on
every worker, through a restart too. Nothing has to run for that. Each function returns a new record, with ``seq`` one higher,
or the same one when there is nothing to change.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

SLOTS = ("blue", "green")
# A record is read on every request, has to fit into the control endpoint's 64 KiB, and in maintenance each client is compared with
# each network.
MESSAGE_LENGTH = 2000
ALLOWED_NETWORKS = 100
LONGEST_RETRY = 86400  # seconds


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


class Maintenance(TypedDict):
    """Every request is answered 503 with ``message``, save those from the networks in ``allow`` and from the edge itself.

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
    """What was read is not a record."""


class BadFlip(RecordError):
    """A flip that could never be served."""


class BadMaintenance(RecordError):
    """A maintenance mode with a value that means nothing."""


class StaleToken(RecordError):
    """A later run has written the record already."""


class TooLate(RecordError):
    """The flip ended before it was confirmed."""


class NotPending(RecordError):
    """Another release, or none, is being tried."""


def empty(app: str) -> Record:
    """The record of an app that was never deployed."""
    return {"app": app, "confirmed": None, "pending": None, "deadline": None, "maintenance": None, "token": 0, "seq": 0}


def from_data(app: str, data: Any) -> Record:
    """The record kept in a file; None, the record of an app that was never deployed. Raises Damaged."""
    if data is None:
        return empty(app)
    if isinstance(data, Mapping):
        data = {"maintenance": None, **data}  # written before there was a maintenance mode
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
            f"the edge's record of {app} is damaged ({str(data)[:200]}): put back /var/lib/sluice-edge/{app}.json, or remove it, restart "
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
    """Whether a flip is being tried at ``now``."""
    return record["pending"] is not None and record["deadline"] is not None and now < record["deadline"]


def effective(record: Record, now: float) -> list[Share]:
    """What requests are sent to at ``now``, the tried release first; an empty list answers 503.

    In maintenance that is what those see who are let in.
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
            f"token {token} is older than token {record['token']}, which wrote the split of {record['app']} last: a later run took over"
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
    """The record with the flip made permanent; what was permanent before stays so, without another's flip that has gone back by itself.

    Raises StaleToken, NotPending or TooLate.
    """
    confirmed, pending = record["confirmed"], record["pending"]
    if confirmed and confirmed["release"] == release and not pending_alive(record, now):
        return _next(record, token, confirmed=confirmed, pending=None, deadline=None) if pending else record
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


def abort(record: Record, *, token: int, release: str | None = None) -> Record:
    """The record without the flip (of ``release``, or whichever); unchanged when there is none. Raises StaleToken."""
    pending = record["pending"]
    if pending is None or (release is not None and pending["release"] != release):
        return record
    return _next(record, token, confirmed=record["confirmed"], pending=None, deadline=None)


def maintain(record: Record, *, message: str, retry_after: int, allow: Sequence[str], token: int, now: float) -> Record:
    """The record in maintenance, from now on or as it is already; unchanged when nothing differs. Raises StaleToken or BadMaintenance.

    ``allow`` holds addresses and networks, IPv4 and IPv6. What is served, tried or confirmed stays as it is.
    """
    if not 1 <= retry_after <= LONGEST_RETRY:
        raise BadMaintenance(
            f"visitors in maintenance cannot be told to come back after {retry_after} s: set retry_after to 1 to {LONGEST_RETRY}"
        )
    if not message.strip() or len(message) > MESSAGE_LENGTH:
        raise BadMaintenance(
            f"the message for maintenance has {len(message.strip())} characters: write 1 to {MESSAGE_LENGTH} of them"
        )
    if len(allow) > ALLOWED_NETWORKS:
        raise BadMaintenance(
            f"maintenance lets in at most {ALLOWED_NETWORKS} networks, not {len(allow)}: write larger networks"
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
    """The record out of maintenance; unchanged when it is not in it. Raises StaleToken."""
    return record if record["maintenance"] is None else _with_maintenance(record, token, None)


def network(entry: str) -> str:
    """An address or a network as the edge compares it: ``address/length``, an IPv4-mapped one as IPv4. Raises BadMaintenance."""
    try:
        if "%" in entry:
            raise ValueError("the edge does not see the zone of an address")
        wide = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise BadMaintenance(
            f"maintenance cannot let in {entry!r}: write an address or a network, like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
        ) from None
    address = ipaddress.ip_address(entry.partition("/")[0])
    if "/" in entry and address != wide.network_address:
        # One address, or all of its network? The answer decides who gets in.
        raise BadMaintenance(
            f"maintenance cannot let in {entry!r}, which is neither one address nor a network: write {address} or {wide}"
        )
    mapped = wide.network_address.ipv4_mapped if isinstance(wide, ipaddress.IPv6Network) else None
    if mapped and wide.prefixlen >= 96:
        return f"{mapped}/{wide.prefixlen - 96}"
    return str(wide)
