# SPDX-License-Identifier: Apache-2.0
"""What a printed plan tells beyond the plan itself, from what the hosts said they have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge import changes as edge_changes
from ansible_collections.sluice.stack.plugins.module_utils.plan import disk_space, placement, singletons
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests

Plan = Mapping[str, Any]
Observed = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Facts:
    """By host, in words; hosts with nothing to tell are left out."""

    drift: Mapping[str, list[str]]  # how what it has differs from the live release
    late: Mapping[str, str]  # what an edge confirmed that is not the live release
    pull: Mapping[str, str]
    alone: Mapping[str, list[str]]  # what must not run twice and does not run at all: it starts with the slot
    clear: Mapping[str, list[str]]  # containers in the slot that is about to be filled
    reload: Mapping[str, list[str]]  # why an edge's configuration is written again
    alongside: Mapping[str, list[str]]  # workers and jobs, with what is there now
    replaced: Mapping[str, list[str]]  # what must not run twice, and is away meanwhile
    stop: Mapping[str, list[str]]  # containers of the slot that is retired


def of(
    plan: Plan, live_manifest: Mapping[str, Any] | None, observed: Observed, pulls: Mapping[str, disk_space.Pull]
) -> Facts:
    """The facts of a plan; ``pulls`` is what each host that starts something has to pull."""
    retire = plan["retire"] or {"slot": None}
    names = {address: host for host, address in plan["addresses"].items()}
    return Facts(
        drift=_drift(plan, live_manifest, observed),
        late={host: _confirmed(observed[host]["edge"]["record"]) for host in plan["converge"]},
        pull={host: summary for host, pull in pulls.items() if (summary := disk_space.summary(pull))},
        alone={
            host: found
            for host in plan["start"]
            if (found := placement.down(observed[host], plan["manifest"], plan["services"].get(host, [])))
        },
        clear={host: found for host in plan["start"] if (found := _cleared(plan, host, observed[host]))},
        reload={
            host: edge_changes.reasons(observed[host]["edge"]["config"], plan["edge_config"], names)
            for host in plan["configure"]
        },
        alongside={
            host: found
            for host, wanted in sorted(plan["workers"].items())
            if (found := _beside(plan, wanted, observed[host]))
        },
        replaced={host: found for host in sorted(plan["workers"]) if (found := _replaced(plan, host, observed[host]))},
        stop={
            host: found for host in plan["record"] if (found := _of_slot(observed[host]["containers"], retire["slot"]))
        },
    )


def _drift(plan: Plan, live_manifest: Mapping[str, Any] | None, observed: Observed) -> dict[str, list[str]]:
    if not live_manifest:
        return {}
    named = list(plan["addresses"])
    taking_part = [host for host in named if host in observed and not observed[host]["drained"]]
    placed = placement.spread(live_manifest, named, taking_part)
    return {
        host: found
        for host in taking_part
        if (found := placement.drift(observed[host], live_manifest, plan["live"]["slot"], placed[host]))
    }


def _confirmed(record: Mapping[str, Any] | None) -> str:
    confirmed = (record or {}).get("confirmed")
    return f"release {confirmed['release']} in {confirmed['slot']}" if confirmed else "nothing"


def _of_slot(containers: Iterable[Mapping[str, Any]], slot: str | None) -> list[str]:
    by_release: dict[str, set[str]] = {}
    for item in containers:
        if item["slot"] == slot:
            by_release.setdefault(item["release"], set()).add(item["service"])
    return [f"{', '.join(sorted(names))} of {release}" for release, names in sorted(by_release.items())]


def _cleared(plan: Plan, host: str, observation: Mapping[str, Any]) -> list[str]:
    """What is in the slot and does not stay: of another release, of a service that is elsewhere, or dead."""
    release, wanted = plan["manifest"]["id"], plan["services"].get(host, [])
    stay = [
        item
        for item in observation["containers"]
        if item["release"] == release and item["state"] == "running" and item["service"] in wanted
    ]
    return _of_slot((item for item in observation["containers"] if item not in stay), plan["slot"])


def _beside(plan: Plan, wanted: list[str], observation: Mapping[str, Any]) -> list[str]:
    """Each worker and job that goes over, with what runs of it now; those of no use any more last."""
    held = observation["workers"]
    singleton = manifests.of_kind(plan["manifest"], "singleton")
    found = []
    for name in (name for name in wanted if name not in singleton):
        mine = [item for item in held if item["service"] == name]
        others = sorted({item["release"] for item in mine} - {plan["manifest"]["id"]})
        found.append(f"{name} ({f'from release {others[0]}' if others else 'in part' if mine else 'new here'})")
    gone = sorted({item["service"] for item in held} - set(wanted))
    return found + [f"{name} goes" for name in gone]


def _replaced(plan: Plan, host: str, observation: Mapping[str, Any]) -> list[str]:
    """Each service that must not run twice and runs in another release now."""
    manifest = plan["manifest"]
    return [
        singletons.outlook(name, manifest, observation)
        for name in plan["workers"][host]
        if manifests.kind(manifest["services"][name]) == "singleton"
        and any(
            item["service"] == name and item["state"] == "running" and item["release"] != manifest["id"]
            for item in observation["workers"]
        )
    ]
