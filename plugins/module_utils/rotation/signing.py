# SPDX-License-Identifier: Apache-2.0
"""Keys that sign what users keep: the new one is known everywhere before it signs, and the old one is believed for some time after. Pure.

The app signs with one secret and believes two: that one, and the *other*. While releases change, both the old and the new one serve, so a key may
sign only when every release that serves believes it. So there are three phases, a run and a release for each:

    announce   signs with the old key, believes the new one
    sign       signs with the new key, believes the old one
    forget     after the stated time: signs with the new key, believes no other

At rest both secrets have the same value. Which phase it is follows from the store and from what has signed before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ansible_collections.sluice.stack.plugins.module_utils.release import credentials
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

ANNOUNCE, SIGN, FORGET, WAIT, FINISH = "announce", "sign", "forget", "wait", "finish"


@dataclass(frozen=True)
class Phase:
    """What a run does, and what it writes for that, in this order."""

    name: str
    writes: Mapping[str, str] = field(repr=False)
    until: datetime | None = None  # when the old key is believed no more


@dataclass(frozen=True)
class Keys:
    """The two secrets, and their values in the store."""

    signs: str
    other: str
    key: str = field(repr=False)
    believed: str = field(repr=False)


def phase(
    keys: Keys, history: History, live: Mapping[str, object], hours: float, new: str, now: datetime, emergency: bool
) -> Phase:
    """Return what comes next; ``new`` is a fresh key. Raises RotationError.

    In an emergency a fresh key signs at once and no other is believed: whoever has a token must log in again.
    """
    app, held = str(live["app"]), credentials.versions(live)
    if keys.signs not in held or keys.other not in held:
        raise RotationError(f"the live release does not use both {keys.signs} and {keys.other}: deploy first")
    released = held[keys.signs] == secret_version(app, keys.signs, keys.key)
    known = held[keys.other] == secret_version(app, keys.other, keys.believed)
    if emergency:
        return Phase(SIGN, {keys.other: new, keys.signs: new})
    if not (released and known):
        return Phase(FINISH, {})
    if keys.key == keys.believed:
        return Phase(ANNOUNCE, {keys.other: new})
    signed_before = {credentials.versions(one).get(keys.signs) for one in history.manifests.values()}
    # Manifests are forgotten, and versions that were replaced are not.
    signed_before |= set(history.credentials.get(keys.signs, {"revoked": []})["revoked"])
    if secret_version(app, keys.signs, keys.believed) not in signed_before:
        # The other one first: killed in between, both are the old key, and the new one has signed nothing.
        return Phase(SIGN, {keys.other: keys.key, keys.signs: keys.believed})
    begun = _since(history, keys.signs, held[keys.signs])
    until = begun + timedelta(hours=hours)
    return Phase(WAIT, {}, until) if now < until else Phase(FORGET, {keys.other: keys.key})


def _since(history: History, name: str, version: str) -> datetime:
    """Return when a release with this version was first confirmed."""
    times = [
        str(item["time"])
        for item in history.entries
        if item["event"] == "confirmed"
        and item.get("manifest")
        and credentials.versions(item["manifest"]).get(name) == version
    ]
    return datetime.fromisoformat(min(times)) if times else datetime.fromisoformat("1970-01-01T00:00:00+00:00")
