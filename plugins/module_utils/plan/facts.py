# SPDX-License-Identifier: Apache-2.0
"""Details a printed plan shows beyond the plan itself, from the hosts' observations. Pure."""

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
    """Texts by host; hosts without any are left out."""

    drift: Mapping[str, list[str]]  # how a host differs from the live release
    late: Mapping[str, str]  # what an edge confirmed instead of the live release
    pull: Mapping[str, str]
    alone: Mapping[str, list[str]]  # singleton services that are not running: they start with the slot
    clear: Mapping[str, list[str]]  # containers to remove from the slot before it is filled
    reload: Mapping[str, list[str]]  # why an edge's configuration changes
    alongside: Mapping[str, list[str]]  # workers and jobs, with what runs now
    replaced: Mapping[str, list[str]]  # singleton services, and their downtime
    stop: Mapping[str, list[str]]  # containers of the retired slot


def of(
    plan: Plan, live_manifest: Mapping[str, Any] | None, observed: Observed, pulls: Mapping[str, disk_space.Pull]
) -> Facts:
    """Collect the facts of a plan; ``pulls`` is what each host that starts something has to pull."""
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
            if (found := _alongside(plan, wanted, observed[host]))
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
    """List the containers to remove from the slot: of another release, of a service that moved, or dead."""
    release, wanted = plan["manifest"]["id"], plan["services"].get(host, [])
    stay = [
        item
        for item in observation["containers"]
        if item["release"] == release and item["state"] == "running" and item["service"] in wanted
    ]
    return _of_slot((item for item in observation["containers"] if item not in stay), plan["slot"])


def _alongside(plan: Plan, wanted: list[str], observation: Mapping[str, Any]) -> list[str]:
    """List each worker and job that is replaced, with what runs now; those to remove last."""
    held = observation["workers"]
    singleton = manifests.of_kind(plan["manifest"], "singleton")
    found = []
    for name in (name for name in wanted if name not in singleton):
        mine = [item for item in held if item["service"] == name]
        others = sorted({item["release"] for item in mine} - {plan["manifest"]["id"]})
        found.append(
            f"{name} ({f'from release {others[0]}' if others else 'incomplete' if mine else 'new on this host'})"
        )
    gone = sorted({item["service"] for item in held} - set(wanted))
    return found + [f"remove {name}" for name in gone]


def _replaced(plan: Plan, host: str, observation: Mapping[str, Any]) -> list[str]:
    """List the singleton services that run in another release now."""
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
