# SPDX-License-Identifier: Apache-2.0
"""The plan: what a run will do, decided from what is wanted and what every host said it has.

Pure: it takes and returns plain data. The edges' confirmed records are the truth about what is live.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import ledger, ports
from ansible_collections.sluice.stack.plugins.module_utils import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.edge_nginx import render_app
from ansible_collections.sluice.stack.plugins.module_utils.lease import next_token
from ansible_collections.sluice.stack.plugins.module_utils.ledger import History, Manifest

Observation = Mapping[str, Any]
Plan = dict[str, Any]


class PlanError(Exception):
    """What is wanted cannot be done; the message says what stands in the way and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Wish:
    """What the run was asked for."""

    action: str  # deploy or rollback
    contract: Mapping[str, Any]
    addresses: Mapping[str, str]  # the private address of every app host, lost or not
    edges: Sequence[str]
    apps: Sequence[str]
    now: datetime
    lost: frozenset[str] = field(default_factory=frozenset)  # given up by the operator
    silent: frozenset[str] = field(default_factory=frozenset)  # did not answer, and the run goes on without them
    release_to: str | None = None
    http_port: int = 80


def decide(wish: Wish, observed: Mapping[str, Observation]) -> Plan:
    """The plan for ``wish``; raises PlanError when it cannot be fulfilled."""
    for host, address in wish.addresses.items():
        _require_address(host, address)
    edges = [host for host in wish.edges if host in observed]
    apps = [host for host in wish.apps if host in observed]
    if not edges:
        raise PlanError(
            "no edge host is left to send requests anywhere; check the inventory group 'edge' and release_lost_hosts"
        )
    if not apps:
        raise PlanError(
            "no app host is left to run the release; check the inventory group 'app' and release_lost_hosts"
        )
    history = ledger.merge(item["ledger"] for item in observed.values())
    live, lagging = confirmed_by_edges(edges, observed, history)
    live_manifest = _manifest_of(history, live, edges)
    wanted = _wanted(wish, history, live, apps, observed)

    repair = live is not None and live_manifest is not None and live_manifest["fingerprint"] == wanted["fingerprint"]
    if repair and live and live_manifest:
        slot, target = live["slot"], live_manifest
        start = [host for host in apps if not holds(observed[host], target, slot)]
        unrecorded = history.current != target["id"]  # the run that confirmed it died before it wrote the ledgers
    else:
        slot, target = ("green" if live and live["slot"] == "blue" else "blue"), _with_ports(wish, wanted, observed)
        start, unrecorded = list(apps), False
    upstream_hosts = {host: address for host, address in wish.addresses.items() if host not in wish.lost}
    # While both releases may be served, each slot has its own release's routes and ports; the old one's go at retire.
    during = render_app(live_manifest if not repair else None, target, upstream_hosts, wish.http_port, slot)
    after = render_app(None, target, upstream_hosts, wish.http_port)
    digest = hashlib.sha256(during.encode()).hexdigest()
    configure = [host for host in edges if observed[host]["edge"]["config_sha256"] != digest]
    busy = [host for host in edges if _pending_alive(observed[host]["edge"])]
    plan: Plan = {
        "action": wish.action,
        "app": target["app"],
        "token": next_token([item["highest"] for item in observed.values()]),
        "status": "change"
        if not repair
        else "repair"
        if start or configure or lagging or busy or unrecorded
        else "nothing",
        "manifest": target,
        "live": live,
        "slot": slot,
        "addresses": dict(wish.addresses),
        "images": sorted({service["image"] for service in target["services"].values()}),
        "abandon": busy,
        "converge": lagging,
        "migrate": None if repair else _migration(wish, target, live_manifest, apps),
        "start": start,
        "configure": configure,
        "edge_config": during,
        "edge_config_after": after,
        "configure_after": edges if after != during else [],
        "flip": [] if repair else edges,
        "record": unrecorded,
        "retire": None if repair or live is None else dict(live),
        "lost": sorted({*wish.lost, *wish.silent}),
    }
    _check_disk(wish, plan, observed)
    plan["lines"] = describe(plan, live_manifest, observed)
    return plan


def _require_address(host: str, address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise PlanError(
            f"the address of {host} is {address!r}, which is not an IP address: set stack_address for it, the private address by which the "
            "edges reach it"
        ) from None


def holds(observation: Observation, manifest: Manifest, slot: str) -> bool:
    """Whether an app host runs every container of the release in the slot, and nothing else there."""
    running = {
        (item["service"], item["replica"])
        for item in observation["containers"]
        if item["slot"] == slot and item["state"] == "running" and item["release"] == manifest["id"]
    }
    there = sum(1 for item in observation["containers"] if item["slot"] == slot)
    wanted = {(name, index) for name, service in manifest["services"].items() for index in range(service["replicas"])}
    return running == wanted and there == len(wanted)


def confirmed_by_edges(
    edges: Sequence[str], observed: Mapping[str, Observation], history: History
) -> tuple[dict[str, str] | None, list[str]]:
    """What the edges confirmed last, and the edges that confirmed something older (a run died between two confirms).

    Which of two confirmed releases is the later one is told by the run that started it: a record's own token and count also grow
    by flips that were never confirmed.
    """
    records = {host: observed[host]["edge"]["record"] or {} for host in edges}
    confirmed = {host: record for host, record in records.items() if record.get("confirmed")}
    if not confirmed:
        return None, []
    begun = {item["release"]: item["token"] for item in history.entries if item["event"] in ("started", "confirmed")}
    newest = max(
        confirmed.values(),
        key=lambda record: (begun.get(record["confirmed"]["release"], 0), record["token"], record["seq"]),
    )["confirmed"]
    lagging = [host for host in edges if records[host].get("confirmed") != newest]
    return dict(newest), lagging


def _pending_alive(edge: Mapping[str, Any]) -> bool:
    """Whether an edge is in the middle of somebody's flip; told by the edge, by its own clock."""
    return bool(edge["pending_alive"])


def _manifest_of(history: History, live: Mapping[str, str] | None, edges: Sequence[str]) -> Manifest | None:
    if live is None:
        return None
    found = history.manifests.get(live["release"])
    if found is None:
        raise PlanError(
            f"edges {', '.join(edges)} serve release {live['release']}, but no ledger of any host has its manifest: "
            "bring back a host that has it (/var/lib/sluice/apps/<app>/ledger.jsonl) and run the command again"
        )
    return found


def _wanted(
    wish: Wish,
    history: History,
    live: Mapping[str, str] | None,
    apps: Sequence[str],
    observed: Mapping[str, Observation],
) -> Manifest:
    if wish.action == "rollback":
        if live and not wish.release_to and _is_unfinished_rollback(history, live["release"]):
            # It reached an edge and died: the same command finishes it, and does not go back one more release.
            return dict(history.manifests[live["release"]])
        try:
            return dict(ledger.rollback_target(history, live["release"] if live else None, wish.release_to))
        except ledger.NothingToGoBackTo as error:
            raise PlanError(str(error)) from error
    digests = _digests(apps, observed)
    return manifests.build(wish.contract, digests, wish.now, history.manifests)


def _is_unfinished_rollback(history: History, live: str) -> bool:
    """Whether what is live was last begun by a rollback that no ledger says was confirmed."""
    begun = [item for item in history.entries if item["release"] == live and item["event"] in ("started", "confirmed")]
    return bool(begun) and begun[-1]["event"] == "started" and begun[-1]["action"] == "rollback"


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


def _with_ports(wish: Wish, wanted: Manifest, observed: Mapping[str, Observation]) -> Manifest:
    """The manifest with its ports: recorded ones stay, new ones are free on every host."""
    low, high = wish.contract["port_range"]
    try:
        recorded = ports.merge_records({host: item["ports"] for host, item in observed.items()})
        numbers = ports.allocate(
            wanted["app"],
            {name: service["replicas"] for name, service in wanted["services"].items()},
            recorded,
            {port for item in observed.values() for port in item["listening"]},
            low,
            high,
        )
    except ports.PortError as error:
        raise PlanError(str(error)) from error
    return {**wanted, "ports": numbers}


def _migration(wish: Wish, target: Manifest, live: Manifest | None, apps: Sequence[str]) -> dict[str, Any] | None:
    """The migration to run, and on which host: the first app host of the inventory that answers.

    A release whose migrating image is the one that is live brings no migration that the live one did not.
    """
    migration = target["migration"]
    if wish.action != "deploy" or not migration:
        return None
    service = migration["service"]
    same = live is not None and live["migration"] == migration and service in live["services"]
    if same and live and live["services"][service]["image"] == target["services"][service]["image"]:
        return None
    return {**migration, "host": apps[0]}


def _check_disk(wish: Wish, plan: Plan, observed: Mapping[str, Observation]) -> None:
    least = wish.contract["disk_free"]
    for host in plan["start"]:
        missing = _missing_images(plan, observed[host])
        free = observed[host]["disk_free"]
        if missing and free < least:
            raise PlanError(
                f"{host} has {free / 2**30:.1f} GiB free for images in {observed[host]['docker_root']}, app_disk_free wants "
                f"{least / 2**30:.1f} GiB: free some (docker image prune) or lower app_disk_free"
            )


def _missing_images(plan: Plan, observation: Observation) -> list[str]:
    return [image for image in plan["images"] if image not in observation["images_present"]]


def describe(plan: Plan, live_manifest: Manifest | None, observed: Mapping[str, Observation]) -> list[str]:
    """The plan as a person reads it, a line per step; exactly the steps that will run."""
    target, live = plan["manifest"], plan["live"]
    serving = f"release {live['release']} in {live['slot']}" if live else "nothing"
    if plan["status"] == "nothing":
        return [
            f"Nothing to do: {plan['app']} {target['version']} is live as {target['id']} in {plan['slot']}, as wanted"
        ]
    verb = {"deploy": "Deploy", "rollback": "Roll back to"}[plan["action"]] if plan["status"] == "change" else "Repair"
    lines = [
        f"{verb} {plan['app']} {target['version']} as release {target['id']} (token {plan['token']}); live now: {serving}"
    ]
    changed = manifests.changes(live_manifest, target)
    if plan["status"] == "change" and changed:
        lines.append(f"  changes    {', '.join(changed)}")
    if plan["lost"]:
        lines.append(f"  without    {', '.join(plan['lost'])} (lost)")
    if plan["abandon"]:
        lines.append(f"  abandon    the unconfirmed flip on {', '.join(plan['abandon'])}")
    if plan["converge"]:
        lines.append(f"  converge   {', '.join(plan['converge'])} to {serving}, which another edge confirmed")
    if plan["migrate"]:
        lines.append(
            f"  migrate    {plan['migrate']['engine']}, in {plan['migrate']['service']}'s new image, once, on {plan['migrate']['host']}"
        )
    for host in plan["start"]:
        missing = _missing_images(plan, observed[host])
        pulls = f"pull {len(missing)} image{'s' if len(missing) != 1 else ''}, " if missing else ""
        names = ", ".join(
            f"{name} on port {'/'.join(map(str, target['ports'][name][plan['slot']]))}" for name in target["services"]
        )
        lines.append(f"  start      {host}: {pulls}{names} in {plan['slot']}")
    if plan["configure"]:
        lines.append(
            f"  configure  {', '.join(plan['configure'])}: routes, hosts or ports changed, one reload of Nginx"
        )
    if plan["record"]:
        lines.append("  record     the live release, which the run that confirmed it did not write into the ledgers")
    if plan["flip"]:
        lines.append(f"  flip       {', '.join(plan['flip'])} to {plan['slot']}; undone by itself unless confirmed")
    if plan["retire"]:
        lines.append(f"  retire     {plan['retire']['slot']} ({plan['retire']['release']}), once it has drained")
    if plan["configure_after"]:
        lines.append(
            f"  tidy       {', '.join(plan['configure_after'])}: routes or ports only the old release had, one reload of Nginx"
        )
    return lines
