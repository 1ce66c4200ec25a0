# SPDX-License-Identifier: Apache-2.0
"""The inputs of a run, and the release they mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import NO_TLS, Tls
from ansible_collections.sluice.stack.plugins.module_utils.plan import disk_space
from ansible_collections.sluice.stack.plugins.module_utils.release import credentials, ledger
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest

Observation = Mapping[str, Any]


class PlanError(Exception):
    """The desired state cannot be reached; the message says why and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Desired:
    """The inputs of a run."""

    action: str  # deploy, rollback, rotation (of a secret of the live release), or join and drain, which keep that
    contract: Mapping[str, Any]
    addresses: Mapping[str, str]  # the private address of every app host, excluded or not
    edges: Sequence[str]
    apps: Sequence[str]
    now: datetime
    excluded: frozenset[str] = field(default_factory=frozenset)  # release_exclude_hosts
    unreachable: frozenset[str] = field(default_factory=frozenset)  # the run continues without them
    release_to: str | None = None
    host: str | None = None  # the app host that joins or is drained
    http_port: int = 80
    tls: Tls = NO_TLS
    # The database host of the releases (empty: elsewhere), and the engine that backs it up.
    database: Mapping[str, str] = field(default_factory=lambda: {"host": "", "engine": "none"})
    allow_destructive: bool = False  # whether a rollback may go past a destructive migration
    age: float = 0.0  # seconds since the run started, by its controller's clock
    data: str = "forward"  # what happens to the database in a rollback, or when the run fails: forward, down, restore
    rotate: Sequence[str] = ()  # the secrets that a rotation brings up to their newest version
    reverted: str | None = (
        None  # the release a rollback reverts, when it was named: the live one, or one that failed alongside it
    )


def release(
    desired: Desired,
    history: History,
    live: Mapping[str, str] | None,
    apps: Sequence[str],
    observed: Mapping[str, Observation],
) -> Manifest:
    """Return the manifest of the desired release, its ports not yet allocated. Raises PlanError."""
    if desired.action in ("join", "drain"):
        if live is None:
            raise PlanError(
                "no release is live, so there is nothing to join or drain: deploy a version with deploy.yml"
            )
        return dict(history.manifests[live["release"]])
    if desired.action == "rotation":
        return _rotated(desired, history, live)
    if desired.action == "rollback":
        if live and (
            _is_of_one_that_failed(desired, history, live) or _is_finished_by_this(desired, history, live["release"])
        ):
            return dict(history.manifests[live["release"]])
        by = _rolled_back_meanwhile(desired, history, live, observed)
        if by:
            raise PlanError(
                f"release {live['release'] if live else ''} went live through another rollback (run {by}) after this run started: "
                "the release before it is already rolled back. To roll back further, run rollback.yml again or name a release with -e release_to=..."
            )
        try:
            target = dict(ledger.rollback_target(history, live["release"] if live else None, desired.release_to))
        except ledger.NothingToGoBackTo as error:
            raise PlanError(str(error)) from error
        _refuse_destructive(desired, history, target)
        return with_living_secrets(history, target)
    digests = _digests(apps, observed)
    services = {name: _on_one_host(service, desired.apps) for name, service in desired.contract["services"].items()}
    built = manifests.build({**desired.contract, "services": services}, digests, desired.now, history.manifests)
    sizes = disk_space.sizes(built, [observed[host] for host in apps], history.manifests.values())
    return {**built, "sizes": sizes}


def _rotated(desired: Desired, history: History, live: Mapping[str, str] | None) -> Manifest:
    """Return the live release with the newest version of a secret, and nothing else changed: images, settings and other secrets stay."""
    if live is None:
        raise PlanError("no release is live, so there is no secret in use to rotate: deploy a version with deploy.yml")
    manifest = dict(history.manifests[live["release"]])
    newest = {
        name: version for name, version in credentials.versions(desired.contract).items() if name in desired.rotate
    }
    found = manifests.with_secrets(manifest, newest)
    if found["fingerprint"] == manifest["fingerprint"]:
        return manifest
    read = {name: place for name, place in desired.contract.get("secrets_read", {}).items() if name in newest}
    found["secrets_read"] = {**manifest.get("secrets_read", {}), **read}
    places = {name: place for name, place in desired.contract.get("secret_places", {}).items() if name in newest}
    found["secret_places"] = {**manifest.get("secret_places", {}), **places}
    return manifests.again(found, desired.now, history.manifests)


def with_living_secrets(history: History, manifest: Manifest) -> Manifest:
    """Return a release with the versions that count now of the secrets that were revoked since, or took turns."""
    versions = credentials.living(history.credentials, manifest, history.manifests.get(history.current or ""))
    return manifests.with_secrets(manifest, versions) if versions else manifest


def _on_one_host(service: Mapping[str, Any], named: Sequence[str]) -> Mapping[str, Any]:
    """Pin a singleton service to a host: the release records it, so that the service moves only when its ``hosts`` change."""
    return (
        {**service, "hosts": service["hosts"] or list(named[:1])} if manifests.kind(service) == "singleton" else service
    )


def _refuse_destructive(desired: Desired, history: History, target: Manifest) -> None:
    """Refuse a release from before a destructive migration, which may have removed what it uses."""
    gone = ledger.destructive_since(history, target["id"])
    if gone and not desired.allow_destructive:
        raise PlanError(
            f"release {target['id']} is older than the destructive migration {', '.join(gone)} (-- sluice: contract), which may have removed what it uses. "
            "Roll back to a later release with -e release_to=..., restore the data too with -e release_data=restore (it first shows what is lost), "
            "or, if the release works without it, set -e release_allow_destructive=true"
        )


def _rolled_back_meanwhile(
    desired: Desired, history: History, live: Mapping[str, str] | None, observed: Mapping[str, Observation]
) -> str | None:
    """Return the rollback run that made a release live after this run started; None without one, or when this run names its target.

    Compares ages, each measured by one clock: how long ago an edge changed its record, and how long ago this run started.
    """
    if live is None or desired.release_to:
        return None
    confirmed = [
        item for item in history.entries if item["release"] == live["release"] and item["event"] == "confirmed"
    ]
    last = confirmed[-1] if confirmed else None
    if last is None or last["action"] != "rollback":
        return None
    edges = [observed[host]["edge"] for host in desired.edges if host in observed]
    # The record has not changed since, so its age is that of this run's change.
    ages = [edge["age"] for edge in edges if edge["record"] and edge["record"]["token"] == last["token"]]
    return str(last["run_id"]) if any(age < desired.age for age in ages) else None


def _is_finished_by_this(desired: Desired, history: History, live: str) -> bool:
    """Whether a rollback reached an edge and died: the same command finishes it instead of rolling back one more release."""
    same = desired.release_to in (None, live, history.manifests[live]["version"])
    return same and _is_unfinished_rollback(history, live)


def _is_unfinished_rollback(history: History, live: str) -> bool:
    """Whether the live release was last started by a rollback that no ledger has as confirmed, or that has migrations left to revert."""
    begun = [item for item in history.entries if item["release"] == live and item["event"] in ("started", "confirmed")]
    if not begun or begun[-1]["action"] != "rollback":
        return False
    return begun[-1]["event"] == "started" or bool(history.revert.get(live))


def _is_of_one_that_failed(desired: Desired, history: History, live: Mapping[str, str]) -> bool:
    """Whether the run reverts a release that failed alongside the live one, which stays live. Raises PlanError for any other name."""
    open_undo = history.revert.get(live["release"]) or {}
    if desired.reverted in (None, live["release"], open_undo.get("release")):
        return False
    failed = ledger.failed_alongside(history, live["release"])
    if desired.reverted not in failed:
        raise PlanError(
            f"rollback_confirm={desired.reverted}: the live release is {live['release']}; releases that failed alongside it: {', '.join(failed) or 'none'}"
        )
    if desired.release_to:
        raise PlanError(
            f"rollback_confirm={desired.reverted} was never live, so the live release stays: remove release_to"
        )
    return True


def _digests(apps: Sequence[str], observed: Mapping[str, Observation]) -> dict[str, str]:
    """Return the digest of every image reference, which all app hosts must see alike in the registry."""
    digests: dict[str, str] = {}
    for reference in observed[apps[0]]["images"]:
        answers = {host: observed[host]["images"][reference] for host in apps}
        errors = {host: answer["error"] for host, answer in answers.items() if answer.get("error")}
        if errors:
            first = next(iter(errors.values()))
            raise PlanError(f"image {reference}: {first} (checked from {', '.join(errors)})")
        seen = {answer["digest"] for answer in answers.values()}
        if len(seen) > 1:
            raise PlanError(
                f"image {reference} has different digests on different hosts: {', '.join(sorted(seen))}; its tag moved during the run, run the command again"
            )
        digests[reference] = seen.pop()
    return digests
