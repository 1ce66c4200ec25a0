# SPDX-License-Identifier: Apache-2.0
"""The plan: what a run will do, decided from what is wanted and what every host said it has.

Pure: it takes and returns plain data. The edges' confirmed records are the truth about what is live.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import ledger, plan_text, ports
from ansible_collections.sluice.stack.plugins.module_utils import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.edge_nginx import render_app
from ansible_collections.sluice.stack.plugins.module_utils.lease import next_token
from ansible_collections.sluice.stack.plugins.module_utils.ledger import History, Manifest
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

Observation = Mapping[str, Any]
Plan = dict[str, Any]


class PlanError(Exception):
    """What is wanted cannot be done; the message says what stands in the way and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Wish:
    """What the run was asked for."""

    action: str  # deploy, rollback, or what leaves the live release as it is: join, drain
    contract: Mapping[str, Any]
    addresses: Mapping[str, str]  # the private address of every app host, lost or not
    edges: Sequence[str]
    apps: Sequence[str]
    now: datetime
    lost: frozenset[str] = field(default_factory=frozenset)  # given up by the operator
    silent: frozenset[str] = field(default_factory=frozenset)  # did not answer, and the run goes on without them
    release_to: str | None = None
    host: str | None = None  # the app host that joins or is drained
    http_port: int = 80
    past_contract: bool = False  # whether a rollback may go past a migration that took something away


def decide(wish: Wish, observed: Mapping[str, Observation]) -> Plan:
    """The plan for ``wish``; raises PlanError when it cannot be fulfilled."""
    for host, address in wish.addresses.items():
        _require_address(host, address)
    edges = [host for host in wish.edges if host in observed]
    drained = _drained(wish, observed)
    apps = [host for host in wish.apps if host in observed and host not in drained]
    if not edges:
        raise PlanError(
            "no edge host is left to send requests anywhere; check the inventory group 'edge' and release_lost_hosts"
        )
    if not apps:
        raise PlanError(
            "no app host is left to run the release; check the inventory group 'app' and release_lost_hosts, and bring drained hosts "
            "back with host_join.yml"
        )
    history = ledger.merge_texts(item["ledger"] for item in observed.values())
    live, lagging = confirmed_by_edges(edges, observed, history)
    live_manifest = _manifest_of(history, live, edges)
    wanted = _wanted(wish, history, live, apps, observed)
    situation = _Situation(wish, observed, edges, apps, drained, history, live, live_manifest, lagging)

    same = live_manifest is not None and live_manifest["fingerprint"] == wanted["fingerprint"]
    body = _repair(situation) if same else _change(situation, wanted)
    target: Manifest = body["manifest"]
    plan: Plan = {
        "action": wish.action,
        "app": target["app"],
        "token": next_token([item["highest"] for item in observed.values()]),
        "live": live,
        "contracted": history.contracted,
        "addresses": dict(wish.addresses),
        "images": sorted({service["image"] for service in target["services"].values()}),
        "abandon": [host for host in edges if observed[host]["edge"]["pending_alive"]],
        "converge": lagging,
        "lost": sorted({*wish.lost, *wish.silent}),
        "drained": sorted(drained),
        "join": [wish.host] if wish.action == "join" and observed[str(wish.host)]["drained"] else [],
        "background": _background(situation, target),
        "drain": [wish.host] if wish.action == "drain" and not observed[str(wish.host)]["drained"] else [],
        **body,
    }
    plan["steps"] = _steps(plan)
    plan["status"] = "change" if not same else "repair" if plan["steps"] != ["give_back"] else "nothing"
    _check_disk(wish, plan, observed)
    plan["lines"] = plan_text.lines(
        plan, live_manifest, {host: _missing_images(plan, observed[host]) for host in plan["start"]}
    )
    return plan


def _drained(wish: Wish, observed: Mapping[str, Observation]) -> frozenset[str]:
    """The app hosts that get no requests when this run is done."""
    drained = {host for host in wish.apps if host in observed and observed[host]["drained"]}
    if wish.host is not None and wish.host not in wish.apps:
        raise PlanError(
            f"release_host={wish.host} is no app host of the inventory: {did_you_mean(wish.host, list(wish.apps))}"
        )
    if wish.host is not None and wish.host not in observed:
        raise PlanError(f"{wish.host} does not answer: it can neither join nor be drained")
    if wish.action == "drain":
        return frozenset(drained | {str(wish.host)})
    return frozenset(drained - {str(wish.host)} if wish.action == "join" else drained)


@dataclass(frozen=True)
class _Situation:
    """What a plan is made from."""

    wish: Wish
    observed: Mapping[str, Observation]
    edges: Sequence[str]
    apps: Sequence[str]  # those that answer and are not drained
    drained: frozenset[str]
    history: History
    live: Mapping[str, str] | None
    live_manifest: Manifest | None
    lagging: Sequence[str]

    def config(
        self, other: Manifest | None, target: Manifest, slot: str, other_on: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The edges' configuration for ``target`` in ``slot`` beside ``other``, and the edges that have another one.

        A host the run goes on without is in no upstream: nobody knows what it holds, or will hold. ``other_on`` are the hosts that
        hold ``other``: one that was lost and is back must not be brought into a slot it does not have.
        """
        hosts = {
            host: address
            for host, address in self.wish.addresses.items()
            if host not in self.wish.lost and host not in self.wish.silent and host not in self.drained
        }
        holding = {host: hosts[host] for host in other_on or [] if host in hosts}
        text = render_app(other, target, hosts, self.wish.http_port, slot, holding or None)
        stale = [host for host in self.edges if self.observed[host]["edge"]["config"] != text]
        return {"edge_config": text, "configure": stale}


def _change(now: _Situation, wanted: Manifest) -> Plan:
    """Bring another release up in the idle slot, and go over to it."""
    live = now.live
    slot = "green" if live and live["slot"] == "blue" else "blue"
    target = _with_ports(now.wish, wanted, now.observed)
    before = now.live_manifest
    on = list(now.apps)
    config = now.config(before, target, slot)
    if config["configure"] and live and before:
        # A reload that is due must not bring a host into the live slot that does not hold the live release.
        on = [host for host in now.apps if holds(now.observed[host], before, live["slot"])]
        config = now.config(before, target, slot, on)
    return {
        "manifest": target,
        "slot": slot,
        "migrate": _migration(now.wish, target, now.live_manifest, now.apps),
        # Where it still runs, well, from when it was live, there is nothing to start.
        "start": [host for host in now.apps if not holds(now.observed[host], target, slot, well=True)],
        **config,
        "canary": now.wish.contract["canary"] if now.wish.action == "deploy" and live else None,
        "flip": list(now.edges),
        "confirm": list(now.edges),
        "retire": dict(live) if live else None,
        "record": [host for host in now.wish.apps if host in now.observed],
        "previous": {"release": live["release"], "hosts": on} if live else None,
    }


def _repair(now: _Situation) -> Plan:
    """Make the live release whole: what an earlier run left undone, and what went missing since."""
    live, target = now.live, now.live_manifest
    assert live is not None and target is not None, "there is a live release to repair"  # noqa: S101
    slot = live["slot"]
    before = now.history.before.get(target["id"])
    unrecorded = now.history.current != target["id"]  # the run that confirmed it died before it wrote the ledgers
    left = _left_over(now, slot)
    return {
        "manifest": target,
        "slot": slot,
        "migrate": None,
        "start": [host for host in now.apps if not holds(now.observed[host], target, slot)],
        **(
            now.config(now.history.manifests.get(before["release"]), target, slot, before["hosts"])
            if before
            else now.config(None, target, slot)
        ),
        "canary": None,
        "flip": [],
        "confirm": list(now.edges) if unrecorded else [],
        "retire": left,
        "record": list(now.apps) if unrecorded or left else [],
        "previous": before,
    }


def _left_over(now: _Situation, slot: str) -> dict[str, str | None] | None:
    """The idle slot, when something is in it that nothing is about to stop: the run that should have done so died.

    Whatever it is: hosts may have been left at different releases.
    """
    for host in now.apps:
        leaving = now.observed[host]["retiring"] or {"slot": None}
        for one in now.observed[host]["containers"]:
            if one["slot"] not in (slot, leaving["slot"]):
                return {"slot": one["slot"], "release": None}
    return None


def _background(now: _Situation, target: Manifest) -> dict[str, list[str]]:
    """App host → its workers and jobs, for hosts that have others, or none of the release yet. A job is on one host."""
    wanted: dict[str, list[str]] = {host: [] for host in now.wish.apps if host in now.observed}
    for name, service in manifests.of_kind(target, "worker", "job").items():
        unknown = [host for host in service["hosts"] or [] if host not in now.wish.apps]
        if unknown:
            raise PlanError(
                f"app_services.{name}.hosts names {unknown[0]}, which is no app host of the inventory: "
                f"{did_you_mean(unknown[0], list(now.wish.apps))}"
            )
        # A job stays where it is named, or on the inventory's first host: another one might run it twice.
        one = manifests.kind(service) == "job"
        for host in service["hosts"] or (now.wish.apps[:1] if one else now.apps):
            if host in now.apps:
                wanted[host].append(name)
    return {host: names for host, names in wanted.items() if not _runs(now.observed[host], target, names)}


def _runs(observation: Observation, target: Manifest, names: Sequence[str]) -> bool:
    """Whether a host has exactly these workers and jobs of the release."""
    held = observation["background"]
    have = {
        name: sum(
            1
            for item in held
            if (item["service"], item["release"]) == (name, target["id"])
            and (item["state"] == "running" or manifests.kind(target["services"][name]) == "job")
        )
        for name in names
    }
    return len(held) == sum(have.values()) and all(have[name] == target["services"][name]["replicas"] for name in names)


def _steps(plan: Plan) -> list[str]:
    """The steps that have something to do; their order is the playbook's."""
    needs = {
        "settle": plan["abandon"] or plan["converge"],
        "pending": plan["migrate"],
        "migrate": plan["migrate"],
        "start": plan["start"],
        "join": plan["join"],
        "configure": plan["configure"],
        "canary": plan["canary"],
        "flip": plan["flip"],
        "confirm": plan["confirm"],
        "background": plan["background"],
        "drain": plan["drain"],
        "retire": plan["record"],
    }
    steps = [step for step, needed in needs.items() if needed]
    # A release gives the app back in its last two steps.
    return steps if plan["flip"] and not plan["background"] else [*steps, "give_back"]


def _require_address(host: str, address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise PlanError(
            f"the address of {host} is {address!r}, which is not an IP address: set stack_address for it, the private address by which the "
            "edges reach it"
        ) from None


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
    if wish.action in ("join", "drain"):
        if live is None:
            raise PlanError(
                "nothing is live, so there is nothing to join or to drain; deploy a version with deploy.yml"
            )
        return dict(history.manifests[live["release"]])
    if wish.action == "rollback":
        if live and not wish.release_to and _is_unfinished_rollback(history, live["release"]):
            # It reached an edge and died: the same command finishes it, and does not go back one more release.
            return dict(history.manifests[live["release"]])
        try:
            target = dict(ledger.rollback_target(history, live["release"] if live else None, wish.release_to))
        except ledger.NothingToGoBackTo as error:
            raise PlanError(str(error)) from error
        _refuse_past_contract(wish, history, target)
        return target
    digests = _digests(apps, observed)
    return manifests.build(wish.contract, digests, wish.now, history.manifests)


def _refuse_past_contract(wish: Wish, history: History, target: Manifest) -> None:
    """A release from before a contract half finds things gone that it uses."""
    gone = ledger.past_contracts(history, target["id"])
    if gone and not wish.past_contract:
        raise PlanError(
            f"release {target['id']} is from before migration {', '.join(gone)}, which took away what it may use (-- sluice: contract). "
            "Go back to a later release with -e release_to=..., restore the database to this release's restore point, or, when you know "
            "that it does without, say -e release_past_contract=true"
        )


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
            {name: service["replicas"] for name, service in manifests.of_kind(wanted, "web").items()},
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
    served = (live or {"services": {}})["services"].get(service)
    return {**migration, "host": apps[0], "live_image": served["image"] if served else ""}


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
