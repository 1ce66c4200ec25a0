# SPDX-License-Identifier: Apache-2.0
"""A release: the immutable manifest that can be deployed, compared and gone back to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

Manifest = dict[str, Any]

_CONTENT = ("app", "version", "services", "routes", "migration")


def build(contract: Mapping[str, Any], digests: Mapping[str, str], now: datetime, known: Collection[str]) -> Manifest:
    """The manifest of a contract whose image references were resolved; its ports are still to be given out.

    ``digests`` maps image reference to ``sha256:...``; ``known`` are release ids that exist already: an id is never used twice.
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
    manifest["fingerprint"] = fingerprint(manifest)
    moment = now
    while release_id(moment, contract["version"]) in known:
        moment += timedelta(seconds=1)
    manifest["id"] = release_id(moment, contract["version"])
    manifest["created"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return manifest


def kind(service: Mapping[str, Any]) -> str:
    """What a service is: ``web`` (it has a port), ``single`` (and must not run twice), ``job`` (it has a schedule) or ``worker``."""
    if service["port"]:
        return "singleton" if service.get("strategy") == "recreate" else "web"
    return "job" if service.get("schedule") else "worker"


def is_served(service: Mapping[str, Any]) -> bool:
    """Whether anybody sends it requests."""
    return bool(service["port"])


def of_kind(manifest: Mapping[str, Any], *kinds: str) -> dict[str, dict[str, Any]]:
    """The services of some kinds, by name."""
    return {name: service for name, service in sorted(manifest["services"].items()) if kind(service) in kinds}


def release_id(moment: datetime, version: str) -> str:
    """The name of a release: when it was planned, and its version; ids sort by time."""
    return f"{moment.strftime('%Y%m%dT%H%M%SZ')}-{version}"


def pinned(reference: str, digest: str) -> str:
    """An image reference by digest: ``host:5000/name:tag`` → ``host:5000/name@sha256:...``."""
    name = reference.split("@", 1)[0]
    head, _unused, tail = name.rpartition("/")
    repository = f"{head}/{tail.split(':', 1)[0]}" if head else tail.split(":", 1)[0]
    return f"{repository}@{digest}"


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """Equal for releases that would run the same thing."""
    content = {key: manifest[key] for key in _CONTENT}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def changes(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """What differs between two manifests, as paths; secrets by name only."""
    if old is None:
        return []
    found: list[str] = []
    _compare({key: old.get(key) for key in _CONTENT}, {key: new.get(key) for key in _CONTENT}, "", found)
    # The resolved image says it all; the reference it came from would say it twice.
    return [path for path in found if not path.endswith(".reference")]


def _compare(old: Any, new: Any, path: str, found: list[str]) -> None:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            _compare(old.get(key), new.get(key), f"{path}.{key}" if path else str(key), found)
    elif old != new:
        found.append(path)
