# SPDX-License-Identifier: Apache-2.0
"""Which services of a release belong on which app host, and whether a host has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

Observation = Mapping[str, Any]
Manifest = Mapping[str, Any]


def fault(manifest: Manifest, named: Sequence[str]) -> str | None:
    """Why the services cannot be placed on the inventory's app hosts ``named``, or None."""
    for name, service in manifests.of_kind(manifest, "worker", "job").items():
        for host in service["hosts"] or []:
            if host not in named:
                return f"app_services.{name}.hosts names {host}, which is no app host of the inventory: {did_you_mean(host, named)}"
    return None


def background(manifest: Manifest, named: Sequence[str], taking_part: Sequence[str]) -> dict[str, list[str]]:
    """App host → its workers and jobs, for every host in ``named``; those that do not take part get none. A job is on one host."""
    wanted: dict[str, list[str]] = {host: [] for host in named}
    for name, service in manifests.of_kind(manifest, "worker", "job").items():
        # A job stays where it is named, or on the inventory's first host: another one might run it twice.
        one = manifests.kind(service) == "job"
        for host in service["hosts"] or (named[:1] if one else taking_part):
            if host in taking_part:
                wanted[host].append(name)
    return wanted


def runs(observation: Observation, manifest: Manifest, names: Sequence[str]) -> bool:
    """Whether a host has exactly these workers and jobs of the release."""
    held = observation["background"]
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


def holds(observation: Observation, manifest: Manifest, slot: str, well: bool = False) -> bool:
    """Whether an app host runs every container of the release in the slot, and nothing else there; ``well``: and all answer."""
    running = {
        (item["service"], item["replica"])
        for item in observation["containers"]
        if item["slot"] == slot
        and item["state"] == "running"
        and item["release"] == manifest["id"]
        and (item["healthy"] or not well)
    }
    there = sum(1 for item in observation["containers"] if item["slot"] == slot)
    services = manifests.of_kind(manifest, "web")
    wanted = {(name, index) for name, service in services.items() for index in range(service["replicas"])}
    return running == wanted and there == len(wanted)
