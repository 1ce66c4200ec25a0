# SPDX-License-Identifier: Apache-2.0
"""What a run of a rotation does, from the store, the live release, the logins and the hosts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan.state import confirmed_by_edges
from ansible_collections.sluice.stack.plugins.module_utils.release import credentials, ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import secret_version
from ansible_collections.sluice.stack.plugins.module_utils.rotation import command, login, signing, steps
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError


@dataclass(frozen=True)
class Fleet:
    """The app as its hosts report it."""

    history: History
    live: Manifest | None
    observed: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """What is left, and with what."""

    steps: list[str]
    values: Mapping[str, str] = field(repr=False)  # those in the store, or the new ones, in the order to write them
    secrets: Mapping[
        str, Mapping[str, Any]
    ]  # for the ledgers: the version of each, and those that are accepted no more
    new: str  # the login of the value, or the phase of a signing key
    old: list[str]  # logins that end
    until: datetime | None = None  # when the next phase may begin


def fleet(edges: list[str], hosts: list[str], observed: Mapping[str, Any]) -> Fleet:
    """Return the app from its hosts' observations. Raises RotationError when one is missing: it may hold what has to be replaced."""
    silent = sorted(set(hosts) - set(observed))
    if silent:
        raise RotationError(
            f"{', '.join(silent)} cannot be reached, and may hold what has to be replaced: bring it back, or leave it out with "
            "-e release_exclude_hosts=..."
        )
    history = ledger.merge_texts(item["ledger"] for item in observed.values())
    live, _unused = confirmed_by_edges([host for host in edges if host in observed], observed, history)
    return Fleet(history, history.manifests.get(live["release"]) if live else None, observed)


def credentials_of(rotation: Mapping[str, str]) -> login.Credentials:
    """Return what may be in use of an entry of app_rotations, but for keys that sign."""
    if rotation["kind"] == "command":
        return command.Keys()
    return login.redis(rotation["user"]) if rotation["kind"] == "redis" else login.postgres(rotation["role"])


def logins(
    name: str,
    family: login.Credentials,
    value: str,
    found: Mapping[str, Any],
    app: Fleet,
    password: str,
    *,
    emergency: bool,
    after: bool,
) -> Decision:
    """Return what a run does about a secret whose value is a URL with one of two logins, or a key.

    ``found`` is the answer of the module that looks at them, ``password`` one for a login that has to be made. ``after`` the release, and
    in an emergency before it, only the old login is left to end. Raises RotationError.
    """
    if app.live is None:
        raise RotationError("no release is live: deploy a version with deploy.yml")
    user = family.user(value)
    if emergency and not family.ends(user):
        raise RotationError(
            f"its user {user!r} is the server's own, which a rotation does not end: change its password (redis_password), run provision.yml and "
            "deploy. A rotation without emergency=true then gives the app a user of its own"
        )
    may = found["logins"]
    stored = secret_version(app.live["app"], name, value)
    seen = steps.Seen(
        stored,
        credentials.versions(app.live).get(name),
        accepted=found["accepted"],
        enabled=bool(may.get(user)),
        old=family.old(user, may),
    )
    left = [step for step in steps.remaining(seen, emergency) if step != steps.ENABLE or family.enables]
    new = user
    if after:
        left = [] if steps.CREATE in left else left
        if left == [steps.REVOKE] and not emergency:
            require_gone(name, stored, app)
    elif steps.CREATE in left:
        new = family.next(user, may)
        value = family.renewed(value, new, password)
    return Decision(left, {name: value}, _secrets({name: value}, app), new, list(family.old(new, may)))


def signing_key(
    keys: signing.Keys, hours: float, app: Fleet, new: str, now: datetime, *, emergency: bool, after: bool
) -> Decision:
    """Return what a run does about a key that signs; ``after`` its release only what has to be recorded. Raises RotationError."""
    if app.live is None:
        raise RotationError("no release is live: deploy a version with deploy.yml")
    held = {keys.signs: keys.key, keys.other: keys.believed}
    found = signing.phase(keys, app.history, app.live, hours, new, now, emergency and not after)
    if after:
        entry = _secrets(held, app)
        known = all(
            set(one["revoked"]) <= set(app.history.credentials.get(name, {"revoked": []})["revoked"])
            for name, one in entry.items()
        )
        left = [steps.RELEASE] if found.name == signing.FINISH else [] if known else [steps.RECORD]
        # What comes next is not what this run did.
        return Decision(left, held, entry, "", [], found.until)
    left = [*([steps.STORE] if found.writes else []), *([] if found.name == signing.WAIT else [steps.RELEASE])]
    return Decision(left, found.writes or held, _secrets({**held, **found.writes}, app), found.name, [], found.until)


def _secrets(values: Mapping[str, str], app: Fleet) -> dict[str, dict[str, Any]]:
    """Return for the ledgers the version of each value, and all that releases had before."""
    found = {}
    for name, value in values.items():
        version = secret_version(str((app.live or {})["app"]), name, value)
        known = {credentials.versions(one).get(name, version) for one in app.history.manifests.values()}
        found[name] = {"version": version, "revoked": sorted(known - {version})}
    return found


def require_gone(name: str, stored: str, app: Fleet) -> None:
    """Refuse to revoke while a host has a container of a release with another version. Raises RotationError."""
    found = set()
    for host, item in app.observed.items():
        for one in [*item.get("containers", []), *item.get("workers", [])]:
            manifest = app.history.manifests.get(str(one["release"]))
            if manifest and credentials.versions(manifest).get(name, stored) != stored:
                found.add(f"{host} has {one['service']} of {one['release']}")
    if found:
        raise RotationError(
            f"the old one was not revoked, since containers with it are still there: {'; '.join(sorted(found))}. "
            "Run it again when they are gone"
        )
