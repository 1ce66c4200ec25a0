# SPDX-License-Identifier: Apache-2.0
"""A certificate as OpenSSL describes it, why one is refused, and when it is renewed. Pure; times are seconds of the epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import DEFAULT

# What `openssl x509` is asked for; ``parse`` reads its output.
ASKED = ("-noout", "-dates", "-dateopt", "iso_8601", "-issuer", "-fingerprint", "-sha256", "-ext", "subjectAltName")

DAY = 86400.0
# A certificate is renewed when this part of its life is left, and each further edge waits for that much more to pass: the first one
# has renewed it by then, unless it is lost. Parts, not days: lives are 6 days as well as 90.
RENEW_AT, TURN = 1 / 3, 1 / 30
# Later than the turn of any edge: nobody renews it.
LATE_AT = 1 / 6
# A name without a certificate: each further edge waits that long, in seconds.
FIRST_TURN = 900.0
# After the CA refused: doubles up to the longest, and is a small part of the life that is left.
FIRST_RETRY, LONGEST_RETRY = 900.0, 6 * 3600.0


class Certificate(NamedTuple):
    """What a certificate says."""

    names: tuple[str, ...]  # host names, then addresses
    begins: float
    ends: float
    issuer: str
    fingerprint: str  # SHA-256, in hexadecimal
    origin: str = ""  # where it is from; see ``origin``

    @property
    def life(self) -> float:
        """How long it is valid, in seconds."""
        return self.ends - self.begins

    def as_data(self) -> dict[str, Any]:
        """For status and output."""
        return {**self._asdict(), "names": list(self.names)}


class Unreadable(Exception):
    """This is no certificate."""


def parse(text: str) -> Certificate:
    """Read what OpenSSL says of a certificate; raises Unreadable."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, mark, value = line.partition("=")
        if mark:
            found.setdefault(key.strip().lower(), value.strip())
    names = tuple(re.findall(r"DNS:([^\s,]+)", text) + re.findall(r"IP Address:([^\s,]+)", text))
    try:
        return Certificate(
            names,
            _time(found["notbefore"]),
            _time(found["notafter"]),
            _common(found["issuer"]),
            found["sha256 fingerprint"].replace(":", "").lower(),
        )
    except (KeyError, ValueError) as error:
        raise Unreadable(f"OpenSSL says of it: {' '.join(text.split())[:200] or 'nothing'}") from error


def _time(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _common(issuer: str) -> str:
    """Return the name by which people know an issuer."""
    names = dict(re.findall(r"(\w+) ?= ?([^,]+)", issuer))
    return (names.get("CN") or names.get("O") or issuer).strip()


def covers(names: tuple[str, ...], name: str) -> bool:
    """Whether a certificate for ``names`` is good for a host name, or for a wildcard itself."""
    wanted = {name.lower(), f"*.{name.partition('.')[2]}".lower()}
    return any(one.lower() in wanted for one in names)


def refusal(found: Certificate, name: str, own_key: bool, now: float) -> str | None:
    """Return why a certificate is not used for a name, or None. The default may be for any names, or for addresses."""
    if not own_key:
        return "the key does not belong to the certificate"
    if name != DEFAULT and not covers(found.names, name):
        return f"it is for {', '.join(found.names) or 'no name'}, not for {name}"
    if found.ends <= now:
        return f"it expired at {when(found.ends)}"
    # An hour: clocks differ.
    if found.begins > now + 3600:
        return f"it is valid from {when(found.begins)} only"
    return None


def due(live: Certificate | None, origin: str, position: int, missing_since: float, now: float) -> str | None:
    """Return why a certificate is obtained now by the edge at a position (0: the first), or None.

    ``origin`` is where it is to come from; ``missing_since`` is when this edge first missed it.
    """
    if live is None or live.origin != origin or live.ends <= now:
        waited = now - missing_since >= position * FIRST_TURN
        reason = "there is none" if live is None else "it expired" if live.ends <= now else "its source changed"
        return reason if waited else None
    left = live.ends - now
    return f"{span(left)} left" if left < live.life * max(RENEW_AT - position * TURN, LATE_AT) else None


def next_try(failures: int, failed_at: float, live: Certificate | None) -> float:
    """Return when a CA that refused is asked again."""
    wait = min(FIRST_RETRY * 2.0 ** (max(failures, 1) - 1), LONGEST_RETRY)
    if live and live.ends > failed_at:
        wait = min(wait, max(60.0, (live.ends - failed_at) / 8))
    return failed_at + wait


def problem(live: Certificate | None, failure: Mapping[str, Any] | None, now: float) -> str | None:
    """Return what is wrong with a name's certificate, in one line, or None. ``failure`` is the last one: ``since`` and ``why``."""
    why = f"failing since {when(failure['since'])}: {failure['why']}" if failure and failure["why"] else ""
    if live is None:
        return f"no certificate yet{', ' + why if why else ''}"
    if live.ends <= now:
        return f"EXPIRED at {when(live.ends)}; {why or 'it was not renewed'}"
    if why:
        return f"the one in use is good for {span(live.ends - now)}; renewing it is {why}"
    if live.ends - now < live.life * LATE_AT:
        return f"{span(live.ends - now)} left and not renewed"
    return None


def when(moment: float) -> str:
    """Format a moment."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float) -> str:
    """Format a duration for people."""
    for unit, name in ((DAY, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} seconds"
