# SPDX-License-Identifier: Apache-2.0
"""Services that must not run twice (``strategy: recreate``): what of them a run can do, and what it says in advance. Pure.

They run beside the slots, on one port that both slots' releases are asked on, and go over when the release is live.
See docs/decisions/0009-singleton-services.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests

Observation = Mapping[str, Any]
Manifest = Mapping[str, Any]


def fault(live: Manifest | None, wanted: Manifest, observed: Mapping[str, Observation]) -> str | None:
    """Why going over to ``wanted`` would have a service run twice, or answer nobody without need; None when it would not.

    ``observed`` are the app hosts that answer, drained ones too.
    """
    for name, service in sorted(wanted["services"].items()):
        before = live["services"].get(name) if live else None
        kinds = {manifests.kind(one) for one in (before, service) if one}
        if "singleton" in kinds and len(kinds) > 1:
            return (
                f"service {name} runs beside itself in one of two releases (live and wanted) and must not in the other: give it another "
                f"name, or deploy once without it"
            )
        if manifests.kind(service) != "singleton":
            continue
        alive = [host for host, item in sorted(observed.items()) if _runs(item, name)]
        # One that is left where it does not belong, beside the right one, is taken away in its step.
        right = service["hosts"][0]
        if alive and right not in alive:
            return (
                f"service {name} runs on {alive[0]} and belongs on {right} (app_services.{name}.hosts): what must not run twice cannot move "
                f"in one release; deploy once without it, or give {alive[0]} up if it is lost"
            )
    return None


def _runs(observation: Observation, name: str) -> bool:
    return any(
        item["service"] == name and item["state"] not in ("exited", "created") for item in observation["workers"]
    )


def outlook(name: str, manifest: Manifest, observation: Observation) -> str:
    """What is said in advance of a service's replacement: for how long it answers nobody."""
    service = manifest["services"][name]
    least = service["stop_grace"] + service["health"]["window"]
    last = observation.get("gaps", {}).get(name)
    measured = f"; {last:g} s the last time" if last else ""
    return f"{name}: 503 from its stop until the new one is well, at most {least:g} s{measured}"
