# SPDX-License-Identifier: Apache-2.0
"""What a run was asked for, and which release that is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import disk_space
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest

Observation = Mapping[str, Any]


class PlanError(Exception):
    """What is wanted cannot be done; the message says what stands in the way and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Desired:
    """What the run was asked for."""

    action: str  # deploy, rollback, or what leaves the live release as it is: join, drain
    contract: Mapping[str, Any]
    addresses: Mapping[str, str]  # the private address of every app host, lost or not
    edges: Sequence[str]
    apps: Sequence[str]
    now: datetime
    excluded: frozenset[str] = field(default_factory=frozenset)  # given up by the operator
    unreachable: frozenset[str] = field(default_factory=frozenset)  # did not answer, and the run goes on without them
    release_to: str | None = None
    host: str | None = None  # the app host that joins or is drained
    http_port: int = 80
    # The host whose database the releases write to (empty: elsewhere), and the engine that backs it up.
    database: Mapping[str, str] = field(default_factory=lambda: {"host": "", "engine": "none"})
    allow_destructive: bool = False  # whether a rollback may go past a migration that took something away
    age: float = 0.0  # seconds since the run was begun, by its controller's clock
    data: str = "forward"  # what becomes of the database in a rollback, or when the run fails: forward, down, restore
    reverted: str | None = (
        None  # the release that a rollback undoes, when it was named: the live one, or one that failed beside it
    )


def release(
    desired: Desired,
    history: History,
    live: Mapping[str, str] | None,
    apps: Sequence[str],
    observed: Mapping[str, Observation],
) -> Manifest:
    """The manifest of the release that is wanted, its ports still to be given out. Raises PlanError."""
    if desired.action in ("join", "drain"):
        if live is None:
            raise PlanError(
                "nothing is live, so there is nothing to join or to drain; deploy a version with deploy.yml"
            )
        return dict(history.manifests[live["release"]])
    if desired.action == "rollback":
        if live and (
            _is_of_one_that_failed(desired, history, live) or _is_finished_by_this(desired, history, live["release"])
        ):
            return dict(history.manifests[live["release"]])
        by = _rolled_back_meanwhile(desired, history, live, observed)
        if by:
            raise PlanError(
                f"release {live['release'] if live else ''} went live by another rollback (run {by}) after this one was begun: what was "
                "live then has been gone back from already. To go back further run rollback.yml again, or name a release with -e release_to=..."
            )
        try:
            target = dict(ledger.rollback_target(history, live["release"] if live else None, desired.release_to))
        except ledger.NothingToGoBackTo as error:
            raise PlanError(str(error)) from error
        _refuse_destructive(desired, history, target)
        return target
    digests = _digests(apps, observed)
    services = {name: _on_one_host(service, desired.apps) for name, service in desired.contract["services"].items()}
    built = manifests.build({**desired.contract, "services": services}, digests, desired.now, history.manifests)
    sizes = disk_space.sizes(built, [observed[host] for host in apps], history.manifests.values())
    return {**built, "sizes": sizes}


def _on_one_host(service: Mapping[str, Any], named: Sequence[str]) -> Mapping[str, Any]:
    """A service with the host it has when it must not run twice: a release says where, so that it moves only when it is told to."""
    return (
        {**service, "hosts": service["hosts"] or list(named[:1])} if manifests.kind(service) == "singleton" else service
    )


def _refuse_destructive(desired: Desired, history: History, target: Manifest) -> None:
    """A release from before a contract half finds things gone that it uses."""
    gone = ledger.destructive_since(history, target["id"])
    if gone and not desired.allow_destructive:
        raise PlanError(
            f"release {target['id']} is from before migration {', '.join(gone)}, which took away what it may use (-- sluice: contract). "
            "Go back to a later release with -e release_to=..., take the data back too with -e release_data=restore, which first says what that undoes, "
            "or, when you know that it does without, say -e release_allow_destructive=true"
        )


def _rolled_back_meanwhile(
    desired: Desired, history: History, live: Mapping[str, str] | None, observed: Mapping[str, Observation]
) -> str | None:
    """The run of the rollback that made a release live after this run was begun; None when there was none, or it was told where to go.

    Ages are compared, each by one clock: how long ago an edge changed its record, and how long ago this run was begun.
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
    # Nobody has touched the record since: it is that run's change whose age is known.
    ages = [edge["age"] for edge in edges if edge["record"] and edge["record"]["token"] == last["token"]]
    return str(last["run_id"]) if any(age < desired.age for age in ages) else None


def _is_finished_by_this(desired: Desired, history: History, live: str) -> bool:
    """Whether a rollback reached an edge and died: the same command finishes it, and does not go back one more release."""
    same = desired.release_to in (None, live, history.manifests[live]["version"])
    return same and _is_unfinished_rollback(history, live)


def _is_unfinished_rollback(history: History, live: str) -> bool:
    """Whether what is live was last begun by a rollback that no ledger says was confirmed, or whose migrations are still to be undone."""
    begun = [item for item in history.entries if item["release"] == live and item["event"] in ("started", "confirmed")]
    if not begun or begun[-1]["action"] != "rollback":
        return False
    return begun[-1]["event"] == "started" or bool(history.revert.get(live))


def _is_of_one_that_failed(desired: Desired, history: History, live: Mapping[str, str]) -> bool:
    """Whether a release is undone that never went live beside the one that is: that one stays. Raises PlanError for any other name."""
    open_undo = history.revert.get(live["release"]) or {}
    if desired.reverted in (None, live["release"], open_undo.get("release")):
        return False
    failed = ledger.failed_alongside(history, live["release"])
    if desired.reverted not in failed:
        raise PlanError(
            f"rollback_confirm={desired.reverted}: what is live is {live['release']}; releases that failed beside it: {', '.join(failed) or 'none'}"
        )
    if desired.release_to:
        raise PlanError(
            f"rollback_confirm={desired.reverted} was never live, so the live release stays: leave release_to out"
        )
    return True


def _digests(apps: Sequence[str], observed: Mapping[str, Observation]) -> dict[str, str]:
    """The digest of every image reference, as all app hosts see it in the registry."""
    digests: dict[str, str] = {}
    for reference in observed[apps[0]]["images"]:
        answers = {host: observed[host]["images"][reference] for host in apps}
        errors = {host: answer["error"] for host, answer in answers.items() if answer.get("error")}
        if errors:
            first = next(iter(errors.values()))
            raise PlanError(f"image {reference}: {first} (asked from {', '.join(errors)})")
        seen = {answer["digest"] for answer in answers.values()}
        if len(seen) > 1:
            raise PlanError(
                f"image {reference} was moved to another digest while the hosts looked: {', '.join(sorted(seen))}; run again"
            )
        digests[reference] = seen.pop()
    return digests
