# SPDX-License-Identifier: Apache-2.0
"""Which versions of secrets were revoked, from the ledger's ``rotated`` entries, and what a release of before gets instead. Pure.

A release names its secrets by version. One from before a rotation names a version that nobody accepts any more: what goes back to it gets
the version that counts now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Secret → the ``version`` that counts, those ``revoked``, and when they were.
Credentials = dict[str, dict[str, Any]]


def rotated(known: Credentials, item: Mapping[str, Any]) -> Credentials:
    """Return what is known after a ``rotated`` entry."""
    found = dict(known)
    for name, now in item.get("secrets", {}).items():
        revoked = {*found.get(name, {"revoked": []})["revoked"], *now["revoked"]} - {now["version"]}
        found[name] = {"version": now["version"], "revoked": sorted(revoked), "time": item["time"]}
    return found


def confirmed(known: Credentials, manifest: Mapping[str, Any] | None) -> Credentials:
    """Return what is known after a release went live: its versions are accepted, also one that a person has made valid again."""
    if not known or not manifest:
        return known
    found = dict(known)
    for name, version in versions(manifest).items():
        if name in found:
            rest = [one for one in found[name]["revoked"] if one != version]
            found[name] = {**found[name], "version": version, "revoked": rest}
    return found


def merged(one: Credentials, other: Credentials) -> Credentials:
    """Return what two summaries know together; the later one says which version counts."""
    found = dict(one)
    for name, item in other.items():
        mine = found.get(name, item)
        later = max(mine, item, key=lambda each: str(each["time"]))
        revoked = {*mine["revoked"], *item["revoked"]} - {later["version"]}
        found[name] = {**later, "revoked": sorted(revoked)}
    return found


def versions(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return a release's secrets by name, with their versions."""
    return {name: version for service in manifest["services"].values() for name, version in service["secrets"].items()}


def living(known: Credentials, manifest: Mapping[str, Any], live: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the secrets of a release that do not count any more, with the version that does: revoked ones, and those that take turns.

    Of the latter the live release has the one that counts.
    """
    found = revoked(known, manifest) if known else {}
    turns = manifest.get("secrets_in_turns", ())
    if not turns or not live:
        return found
    now, own = versions(live), versions(manifest)
    turned = {name: now[name] for name in turns if name in now and name in own and now[name] != own[name]}
    return {**turned, **found}


def revoked(known: Credentials, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the secrets of a release whose version was revoked, with the version that counts now."""
    return {
        name: known[name]["version"]
        for name, version in sorted(versions(manifest).items())
        if version in known.get(name, {"revoked": []})["revoked"]
    }
