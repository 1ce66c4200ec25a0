# SPDX-License-Identifier: Apache-2.0
"""Singleton services (``strategy: recreate``): whether a run can replace them, and the downtime it announces. Pure.

They run alongside the slots, on one port for the releases of both slots, and are replaced once the release is live.
See docs/decisions/0009-singleton-services.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests

Observation = Mapping[str, Any]
Manifest = Mapping[str, Any]


def fault(live: Manifest | None, wanted: Manifest, observed: Mapping[str, Observation]) -> str | None:
    """Return why switching to ``wanted`` would run a service twice, or cause needless downtime; None when it would not.

    ``observed`` are the reachable app hosts, drained ones too.
    """
    for name, service in sorted(wanted["services"].items()):
        before = live["services"].get(name) if live else None
        kinds = {manifests.kind(one) for one in (before, service) if one}
        if "singleton" in kinds and len(kinds) > 1:
            return (
                f"service {name} is a singleton in only one of the live and the new release (strategy: recreate): give it another "
                f"name, or deploy once without it"
            )
        if manifests.kind(service) != "singleton":
            continue
        alive = [host for host, item in sorted(observed.items()) if _runs(item, name)]
        # A second instance on a wrong host is removed in its step.
        right = service["hosts"][0]
        if alive and right not in alive:
            return (
                f"singleton service {name} runs on {alive[0]}, but app_services.{name}.hosts names {right}: it cannot move in one "
                f"release; deploy once without it, or exclude {alive[0]} if it is lost (-e release_exclude_hosts={alive[0]})"
            )
    return None


def _runs(observation: Observation, name: str) -> bool:
    return any(
        item["service"] == name and item["state"] not in ("exited", "created") for item in observation["workers"]
    )


def outlook(name: str, manifest: Manifest, observation: Observation) -> str:
    """Describe the downtime of a service while it is replaced."""
    service = manifest["services"][name]
    least = service["stop_grace"] + service["health"]["window"]
    last = observation.get("gaps", {}).get(name)
    measured = f"; {last:g} s last time" if last else ""
    return f"{name}: 503 from its stop until the new one is healthy, at most {least:g} s{measured}"
