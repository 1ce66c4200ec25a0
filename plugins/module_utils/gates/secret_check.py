# SPDX-License-Identifier: Apache-2.0
"""Whether an app's secrets are fit for use: readable, hard to guess, not too old, not those of another environment. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote, urlsplit

from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED, OK, UNKNOWN, Result

# What a generator makes has more: 16 random hexadecimal digits have 64 bits. What a person makes up seldom has.
STRONG_BITS = 60.0


@dataclass(frozen=True)
class Seen:
    """What is known of one secret. ``fingerprint`` is equal for equal values of one app and name."""

    name: str
    place: str  # where it is kept
    problem: str = ""  # why it could not be read
    bits: float | None = None  # a guess at its strength; None: it holds no password
    fingerprint: str = ""
    created: str = ""  # ISO 8601, where its source knows
    rotation: Mapping[str, object] | None = None  # its entry in app_rotations


def strength(value: str) -> float | None:
    """Return a guess at the random bits of a secret: its length times the entropy of its characters; of a URL, of its password.

    It is an upper bound for what a person made up, and close for what a generator made. None for a URL without a password.
    """
    secret = password(value)
    if secret is None:
        return None
    counts = Counter(secret)
    each = -sum(count / len(secret) * math.log2(count / len(secret)) for count in counts.values()) if secret else 0.0
    return each * len(secret)


def password(value: str) -> str | None:
    """Return what of a secret is secret: of a URL its password, None without one; else all of it."""
    if "://" in value:
        try:
            found = urlsplit(value).password
        except ValueError:
            return value
        return None if found is None else unquote(found)
    return value


def judge(
    secrets: Sequence[Seen], others: Mapping[str, Mapping[str, str]], now: datetime, max_age_days: float | None
) -> list[Result]:
    """Return a line for each secret; ``others`` has the fingerprints of other environments, by their names."""
    return [_one(secret, others, now, max_age_days) for secret in sorted(secrets, key=lambda one: one.name)]


def _one(secret: Seen, others: Mapping[str, Mapping[str, str]], now: datetime, max_age_days: float | None) -> Result:
    if secret.problem:
        return Result(secret.name, FAILED, secret.problem, "mend what the line says, then check again")
    shared = [place for place, known in sorted(others.items()) if known.get(secret.name) == secret.fingerprint]
    if shared:
        return Result(
            secret.name,
            FAILED,
            f"{secret.place}; the same as in {', '.join(shared)}",
            "give each environment its own",
        )
    if secret.bits is not None and secret.bits < STRONG_BITS:
        return Result(
            secret.name,
            FAILED,
            f"{secret.place}; about {secret.bits:.0f} bits, fewer than {STRONG_BITS:.0f}",
            "make one at random: openssl rand -hex 32",
        )
    own = (secret.rotation or {}).get("max_age_days")
    max_age_days = float(str(own)) if own is not None else max_age_days
    if max_age_days is not None:
        if not secret.created:
            return Result(
                secret.name,
                UNKNOWN,
                f"{secret.place}; its source does not say how old it is",
                "keep it in a store that does",
            )
        age = (now - datetime.fromisoformat(secret.created)).total_seconds() / 86400
        if age > max_age_days:
            return Result(
                secret.name,
                FAILED,
                f"{secret.place}; {age:.0f} days old, more than {max_age_days:g}",
                f"playbooks/secrets/rotate.yml -e secret={secret.name}"
                if secret.rotation
                else "change it where it is kept, and deploy",
            )
        return Result(secret.name, OK, f"{secret.place}; {age:.0f} days old")
    return Result(secret.name, OK, secret.place)
