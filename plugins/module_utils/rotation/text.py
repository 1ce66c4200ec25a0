# SPDX-License-Identifier: Apache-2.0
"""The printed plan of a rotation. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.sluice.stack.plugins.module_utils.rotation import signing
from ansible_collections.sluice.stack.plugins.module_utils.rotation.decide import Decision
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import (
    CREATE,
    ENABLE,
    RECORD,
    RELEASE,
    REVOKE,
    STORE,
)

_PHASES = {
    signing.ANNOUNCE: "a new key is made; the release believes it, and signs with the old one. Run it again to sign with it",
    signing.SIGN: "the release signs with the new key, and believes the old one",
    signing.WAIT: "nothing to do: the release signs with the new key, and believes the old one",
    signing.FORGET: "the release believes no old key any more",
    signing.FINISH: "the live release gets what is stored already",
}


def lines(
    name: str, app: str, place: str, host: str, found: Decision, in_use: Mapping[str, Sequence[str]], emergency: bool
) -> list[str]:
    """Return what is left to do, a line for each step; in an emergency first what breaks."""
    old = ", ".join(found.old) or "none"
    phase = _PHASES.get(found.new, "")
    if phase:
        when = f", until {found.until:%Y-%m-%d %H:%M} UTC: run it again then" if found.until else ""
        head = [f"Rotate {name} of {app}: {place}"]
        if emergency and found.new == signing.SIGN:
            head.append(
                "  breaks     what any other key signed is refused once it is live: everybody must log in again"
            )
            phase = "the release signs with a new key, and believes no other"
        return [*head, f"  {found.new:<10} {phase}{when}"]
    first = f"{'Rotate' if CREATE in found.steps else 'Go on with the rotation of'} {name} of {app}: {place}"
    breaks = [
        f"{old} ends at once, with its connections; what needs it fails until the new release is live",
        *(f"in use now: {line}" for name in found.old for line in in_use.get(name, [])),
    ]
    told = {
        CREATE: f"{found.new} on {host}, with a new password; it cannot log in yet"
        if ENABLE in found.steps
        else f"{found.new}, by {host}; it works at once",
        STORE: "the new value, where the old one is kept",
        ENABLE: f"{found.new} may log in; {old} still may",
        RELEASE: "the live release again with the new value, by a switch of slots",
        RECORD: "into every ledger, which versions are believed no more",
        REVOKE: f"{old}, {'at once' if emergency else 'when nothing uses it any more'}",
    }
    shown = [("breaks", line) for line in breaks] if emergency and REVOKE in found.steps else []
    shown += [(step, told[step]) for step in found.steps]
    return [first, *(f"  {step:<10} {line}" for step, line in shown)]
