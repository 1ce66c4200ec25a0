# SPDX-License-Identifier: Apache-2.0
"""A release: the immutable manifest that can be deployed, compared and rolled back to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

Manifest = dict[str, Any]

RELEASE_ID = re.compile(r"\d{8}T\d{6}Z-(?P<version>.+)")
_CONTENT = ("app", "version", "services", "routes", "migration")


def build(contract: Mapping[str, Any], digests: Mapping[str, str], now: datetime, known: Collection[str]) -> Manifest:
    """Build the manifest of a contract with resolved image references; its ports are not yet allocated.

    ``digests`` maps image reference to ``sha256:...``; ``known`` are existing release ids: an id is never reused.
    """
    services = {
        name: {**service, "image": pinned(service["image"], digests[service["image"]]), "reference": service["image"]}
        for name, service in contract["services"].items()
    }
    manifest: Manifest = {
        "app": contract["app"],
        "version": contract["version"],
        "services": services,
        "routes": contract["routes"],
        "migration": contract["migration"],
    }
    # Where its secrets came from, and the source's version: for people and audits, not a part of what runs.
    if contract.get("secrets_read"):
        manifest["secrets_read"] = contract["secrets_read"]
    # The versions there, for a host that lacks a value.
    if contract.get("secret_places"):
        manifest["secret_places"] = contract["secret_places"]
    # Those that their store changes: going back to this release takes what counts then.
    if contract.get("secrets_in_turns"):
        manifest["secrets_in_turns"] = contract["secrets_in_turns"]
    manifest["fingerprint"] = fingerprint(manifest)
    return {**manifest, **_identity(contract["version"], now, known)}


def with_secrets(manifest: Mapping[str, Any], versions: Mapping[str, str]) -> Manifest:
    """Return a release with other versions of some of its secrets."""
    services = {
        name: {
            **service,
            "secrets": {**service["secrets"], **{key: versions[key] for key in service["secrets"] if key in versions}},
        }
        for name, service in manifest["services"].items()
    }
    found: Manifest = {**manifest, "services": services}
    if "secret_places" in manifest:
        found["secret_places"] = {
            name: place for name, place in manifest["secret_places"].items() if name not in versions
        }
    return {**found, "fingerprint": fingerprint(found)}


def again(manifest: Mapping[str, Any], now: datetime, known: Collection[str]) -> Manifest:
    """Return the same as a release of its own, with the id of now."""
    return {**manifest, **_identity(manifest["version"], now, known)}


def _identity(version: str, now: datetime, known: Collection[str]) -> dict[str, str]:
    moment = now
    while release_id(moment, version) in known:
        moment += timedelta(seconds=1)
    return {"id": release_id(moment, version), "created": now.strftime("%Y-%m-%dT%H:%M:%SZ")}


def kind(service: Mapping[str, Any]) -> str:
    """Return the kind of a service: ``web`` (has a port), ``singleton`` (has a port, one instance), ``job`` (has a schedule) or ``worker``."""
    if service["port"]:
        return "singleton" if service.get("strategy") == "recreate" else "web"
    return "job" if service.get("schedule") else "worker"


def is_served(service: Mapping[str, Any]) -> bool:
    """Whether the service gets requests."""
    return bool(service["port"])


def of_kind(manifest: Mapping[str, Any], *kinds: str) -> dict[str, dict[str, Any]]:
    """Return the services of some kinds, by name."""
    return {name: service for name, service in sorted(manifest["services"].items()) if kind(service) in kinds}


def release_id(moment: datetime, version: str) -> str:
    """Build a release id from the time of the plan and the version; ids sort by time."""
    return f"{moment.strftime('%Y%m%dT%H%M%SZ')}-{version}"


def version_in(release: str) -> str | None:
    """Return the version of a release by its id, or None when it is no id of a release."""
    found = RELEASE_ID.fullmatch(release)
    return found["version"] if found else None


def pinned(reference: str, digest: str) -> str:
    """Pin an image reference to a digest: ``host:5000/name:tag`` → ``host:5000/name@sha256:...``."""
    name = reference.split("@", 1)[0]
    head, _unused, tail = name.rpartition("/")
    repository = f"{head}/{tail.split(':', 1)[0]}" if head else tail.split(":", 1)[0]
    return f"{repository}@{digest}"


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """Return a fingerprint that is equal for releases that run the same thing."""
    content = {key: manifest[key] for key in _CONTENT}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def changes(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """Return the differences between two manifests, as paths; secrets by name only."""
    if old is None:
        return []
    found: list[str] = []
    _compare({key: old.get(key) for key in _CONTENT}, {key: new.get(key) for key in _CONTENT}, "", found)
    # Compare the resolved image only; its reference would repeat the difference.
    return [path for path in found if not path.endswith(".reference")]


def _compare(old: Any, new: Any, path: str, found: list[str]) -> None:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            _compare(old.get(key), new.get(key), f"{path}.{key}" if path else str(key), found)
    elif old != new:
        found.append(path)
