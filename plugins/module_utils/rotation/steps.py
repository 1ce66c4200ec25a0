# SPDX-License-Identifier: Apache-2.0
"""How far the rotation of a secret is, and what comes next: decided from what is there, so that a run that was killed is gone on with. Pure.

create, store, enable, release, revoke: at each moment the credential of the live release is accepted. A new one cannot log in before it is in the
store: one that can, and is neither in the store nor live, is therefore an old one that waits for its end.
"""

from __future__ import annotations

from dataclasses import dataclass

CREATE, STORE, ENABLE, RELEASE, REVOKE = "create", "store", "enable", "release", "revoke"
RECORD = "record"  # of a key that signs: there is nothing to revoke, since the release decides what it believes


class RotationError(Exception):
    """The rotation cannot begin or go on; the message says why and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Seen:
    """What there is. Versions are fingerprints of values."""

    stored: str  # the version in the store
    live: str | None  # that of the live release; None: it does not use the secret
    accepted: bool  # whether the stored credential is the one that its server knows
    enabled: bool  # whether that may log in
    old: tuple[str, ...] = ()  # other credentials that may log in


def remaining(seen: Seen, emergency: bool = False) -> list[str]:
    """Return the steps that are left, in their order; all of them where no rotation is under way. Raises RotationError.

    In an emergency the old credential ends before the release.
    """
    if seen.live is None:
        raise RotationError("the live release does not use it: deploy first")
    tail = [REVOKE, RELEASE] if emergency else [RELEASE, REVOKE]
    whole = [CREATE, STORE, ENABLE, *tail]
    if not seen.accepted:
        return whole
    if seen.stored != seen.live:
        # It is in the store; the live release still has the one before.
        return [*([] if seen.enabled else [ENABLE]), *tail]
    if seen.old:
        return [REVOKE]
    return whole
