# SPDX-License-Identifier: Apache-2.0
"""Which services of a release belong on which app host, and what a host has of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

Observation = Mapping[str, Any]
Manifest = Mapping[str, Any]

BESIDE_THE_SLOTS = ("worker", "job", "singleton")


def spread(
    manifest: Manifest, named: Sequence[str], taking_part: Sequence[str], away: Collection[str] = ()
) -> dict[str, list[str]]:
    """App host → the services it has of the release, for each of the inventory's hosts ``named``; of those that take part.

    ``away`` are the hosts that an operator excluded or drained: their jobs run elsewhere meanwhile.
    """
    found: dict[str, list[str]] = {host: [] for host in named}
    for name, service in sorted(manifest["services"].items()):
        hosts = service["hosts"] or taking_part
        if manifests.kind(service) == "job":
            hosts = _of_a_job(service["hosts"] or named[:1], named, away)
        for host in hosts:
            if host in taking_part:
                found[host].append(name)
    return found


def _of_a_job(home: Sequence[str], named: Sequence[str], away: Collection[str]) -> Sequence[str]:
    """Where a job runs: at home, or on the next host of the inventory that is not away.

    A host that merely does not answer may still run it, so it stays there: only an operator knows that a host is lost. A singleton service
    never moves like this. A job that runs once too often is over soon; two singletons would both hold what only one may.
    """
    start = named.index(home[0]) if home[0] in named else 0
    return [host for host in (*home, *named[start:], *named[:start]) if host not in away][:1]


def fault(manifest: Manifest, named: Sequence[str], taking_part: Sequence[str], strict: bool) -> str | None:
    """Return why the services cannot be placed on the inventory's app hosts ``named``, or None.

    ``strict`` is for the current inventory: an older release may name a host that is gone.
    """
    placed = {name for names in spread(manifest, named, taking_part).values() for name in names}
    for name, service in sorted(manifest["services"].items()):
        hosts = service["hosts"] or []
        unknown = [host for host in hosts if host not in named]
        if unknown and (strict or len(unknown) == len(hosts)):
            return (
                f"app_services.{name}.hosts names {unknown[0]}, which is not an app host of the inventory: "
                f"{did_you_mean(unknown[0], named)}"
            )
        if name not in placed and manifests.is_served(service):
            where = ", ".join(hosts or named[:1])
            return (
                f"service {name} has no host to run on: {where} is drained or excluded; bring it "
                f"back, or name another host in app_services.{name}.hosts and deploy"
            )
    return None


def in_slots(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """The services of ``names`` that run in a slot."""
    return [name for name in names if manifests.kind(manifest["services"][name]) == "web"]


def alongside_slots(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """The services of ``names`` that run alongside the slots: they are replaced once the release is live."""
    return [name for name in names if manifests.kind(manifest["services"][name]) in BESIDE_THE_SLOTS]


def runs(observation: Observation, manifest: Manifest, names: Sequence[str], started: Sequence[str] = ()) -> bool:
    """Whether a host runs exactly these services of the release alongside its slots; those in ``started`` count as running."""
    held = [item for item in observation["workers"] if item["service"] not in started]
    names = [name for name in names if name not in started]
    have = {
        name: sum(
            1
            for item in held
            if (item["service"], item["release"]) == (name, manifest["id"])
            and (item["state"] == "running" or manifests.kind(manifest["services"][name]) == "job")
        )
        for name in names
    }
    return len(held) == sum(have.values()) and all(
        have[name] == manifest["services"][name]["replicas"] for name in names
    )


def holds(observation: Observation, manifest: Manifest, slot: str, names: Sequence[str], healthy: bool = False) -> bool:
    """Whether a host runs every container of the services ``names`` in the slot, and nothing else there; ``healthy``: and all are healthy."""
    running = {
        (item["service"], item["replica"])
        for item in observation["containers"]
        if item["slot"] == slot
        and item["state"] == "running"
        and item["release"] == manifest["id"]
        and (item["healthy"] or not healthy)
    }
    there = sum(1 for item in observation["containers"] if item["slot"] == slot)
    wanted = _wanted(manifest, names)
    return running == wanted and there == len(wanted)


def down(observation: Observation, manifest: Manifest, names: Sequence[str]) -> list[str]:
    """The singleton services that do not run on this host in any release."""
    return [
        name
        for name in names
        if manifests.kind(manifest["services"][name]) == "singleton"
        and not any(item["service"] == name and item["state"] == "running" for item in observation["workers"])
    ]


def drift(observation: Observation, manifest: Manifest, slot: str, names: Sequence[str]) -> list[str]:
    """Describe how a host differs from the release in the slot; empty when it does not."""
    found = []
    here = [item for item in observation["containers"] if item["slot"] == slot]
    wanted = _wanted(manifest, names)
    for service, replica in sorted(wanted):
        label = service if manifest["services"][service]["replicas"] == 1 else f"{service} {replica + 1}"
        mine = [item for item in here if (item["service"], item["replica"]) == (service, replica)]
        right = [item for item in mine if item["release"] == manifest["id"]]
        if not mine:
            found.append(f"{label} is missing")
        elif not right:
            found.append(f"{label} is of release {mine[0]['release']}")
        elif right[0]["state"] != "running":
            found.append(f"{label} {_STATES.get(right[0]['state'], 'is ' + right[0]['state'])}")
        elif right[0]["healthy"] is False:
            found.append(f"{label} is running but unhealthy")
    found += [f"{name} is not running" for name in down(observation, manifest, names)]
    strangers = [item for item in here if (item["service"], item["replica"]) not in wanted]
    return found + [
        f"{item['service']} of release {item['release']} does not belong on this host" for item in strangers
    ]


_STATES = {
    "exited": "has exited",
    "starting": "never became healthy",
    "restarting": "restarts repeatedly",
}


def _wanted(manifest: Manifest, names: Sequence[str]) -> set[tuple[str, int]]:
    services = {name: manifest["services"][name] for name in in_slots(manifest, names)}
    return {(name, index) for name, service in services.items() for index in range(service["replicas"])}
