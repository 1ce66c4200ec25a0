# SPDX-License-Identifier: Apache-2.0
"""The plan: what a run will do, decided from the desired state and every host's observation.

Pure: it takes and returns plain data. The edges' confirmed records decide what is live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import (
    adoption,
    backups,
    disk_space,
    facts,
    fetch,
    migrations,
    placement,
    singletons,
)
from ansible_collections.sluice.stack.plugins.module_utils.plan import desired as desired_release
from ansible_collections.sluice.stack.plugins.module_utils.plan import state as states
from ansible_collections.sluice.stack.plugins.module_utils.plan import text as plan_text
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import Desired, Observation, PlanError
from ansible_collections.sluice.stack.plugins.module_utils.plan.state import State
from ansible_collections.sluice.stack.plugins.module_utils.release import credentials, ports
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import next_token
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest

__all__ = ["Desired", "PlanError", "decide"]

Plan = dict[str, Any]


def decide(desired: Desired, observed: Mapping[str, Observation]) -> Plan:
    """Return the plan for ``desired``; raises PlanError when it cannot be done."""
    now = states.read(desired, observed)
    live, live_manifest, history = now.live, now.live_manifest, now.history
    wanted = desired_release.release(desired, history, live, now.apps, observed)
    fault = placement.fault(wanted, desired.apps, now.apps, strict=desired.action == "deploy") or singletons.fault(
        live_manifest, wanted, {host: observed[host] for host in desired.apps if host in observed}
    )
    if fault:
        raise PlanError(fault)
    same = live_manifest is not None and live_manifest["fingerprint"] == wanted["fingerprint"]
    revert = migrations.revert(desired, history, live, live_manifest if same and live_manifest else wanted, now.apps)
    narrow = adoption.narrowed(now)
    body = _repair(now, revert, narrow) if same else _change(now, wanted, narrow)
    target: Manifest = body["manifest"]
    if desired.action == "rehearsal":
        body = {**body, **_NO_CHANGE}
    migrations.require_engine(desired)
    point, limits = backups.restore_point(desired, same)
    rehearse = backups.rehearsal(desired, body["migrate"], live_manifest)
    plan: Plan = {
        "action": desired.action,
        "app": target["app"],
        "token": next_token([item["highest"] for item in observed.values()]),
        "live": live,
        "contracted": history.contracted,
        "restored": history.restored,
        # Of a rollback's release: secrets that were revoked since, and when.
        "revived": _revived(desired, history, target),
        "addresses": dict(desired.addresses),
        "abort": [host for host in now.edges if observed[host]["edge"]["pending_alive"]],
        "converge": list(now.lagging),
        "narrow": narrow,
        "in_the_clear": now.in_the_clear(target),
        "excluded": sorted({*desired.excluded, *desired.unreachable}),
        "drained": sorted(now.drained),
        "join": [desired.host] if desired.action == "join" and observed[str(desired.host)]["drained"] else [],
        "services": {host: names for host, names in now.spread(target).items() if names},
        "workers": {} if desired.action == "rehearsal" else _workers(now, target),
        "restore_point": point,
        "backup_limits": limits,
        # Tasks for a host outside the play are delegated by one inside it.
        "through": {point["host"]: now.apps[0]} if point else {},
        "rehearse": rehearse,
        "schema_check": None if same else migrations.schema_check(desired, history, wanted, now.apps),
        "revert": revert,
        "on_failure": migrations.on_failure(
            desired, None if same else body["migrate"], live_manifest, _brings_up(now, target)
        ),
        # Recorded in the ledgers, so that the same command finishes a run that dies before this step.
        "to_revert": migrations.kept(revert) or (history.revert.get(target["id"]) if same else None),
        "drain": [desired.host] if desired.action == "drain" and not observed[str(desired.host)]["drained"] else [],
        **body,
    }
    plan["fetch"] = fetch.missing(plan, desired.contract, history, observed)
    plan["targets"] = _targets(plan)
    # A deploy releases the lease in its last two steps, a run that reverts migrations in that one.
    ends = "revert" in plan["targets"] or (plan["flip"] and not plan["workers"])
    plan["steps"] = [*plan["targets"], *([] if ends else ["unlock"])]
    plan["status"] = (
        "rehearsed"
        if rehearse and desired.action == "rehearsal"
        else "change"
        if not same
        else "repair"
        if plan["steps"] != ["unlock"]
        else "nothing"
    )
    plan["live_images"] = _images(live_manifest)
    plan["changes"] = manifests.changes(live_manifest, target) if plan["status"] == "change" else []
    pulls = _pulls(now, plan)
    plan["lines"] = plan_text.lines(plan, live_manifest, facts.of(plan, live_manifest, observed, pulls))
    return plan


def _revived(desired: Desired, history: History, target: Manifest) -> dict[str, str]:
    """Return the secrets that a rollback's release gets anew, since its own version was revoked, and when that was."""
    before = history.manifests.get(target["id"]) if desired.action == "rollback" else None
    current = history.manifests.get(history.current or "")
    dead = credentials.living(history.credentials, before, current) if before else {}
    return {name: str(history.credentials.get(name, {}).get("time", "")) for name in dead}


def _images(manifest: Manifest | None) -> dict[str, str]:
    return {name: one["image"] for name, one in sorted((manifest or {"services": {}})["services"].items())}


# The part of a plan that is empty when the run changes nothing.
_NO_CHANGE: Plan = {
    "start": [],
    "configure": [],
    "canary": None,
    "watch": None,
    "flip": [],
    "confirm": [],
    "retire": None,
    "record": [],
}


def _change(now: State, wanted: Manifest, narrow: Mapping[str, str]) -> Plan:
    """Start another release in the idle slot and switch to it."""
    live = now.live
    slot = "green" if live and live["slot"] == "blue" else "blue"
    target = _with_ports(now.desired, wanted, now.observed)
    before = now.live_manifest
    on = list(now.apps)
    config = now.config(before, target, slot)
    watch = now.desired.contract["watch"]
    if (config["configure"] or narrow) and live and before:
        # A reload must not add a host to the live slot's upstream that does not run the live release.
        on = [host for host in now.apps if now.holds(host, before, live["slot"])]
        config = now.config(before, target, slot, on)
    return {
        "manifest": target,
        "slot": slot,
        "migrate": now.migration(target),
        # Where it is still healthy as a warm standby, there is nothing to start.
        "start": now.lacking(target, slot, healthy=True),
        **_after(narrow, config),
        "canary": now.desired.contract["canary"] if now.desired.action == "deploy" and live else None,
        # A rollback is to a release that was live, and in a hurry.
        "watch": watch if now.desired.action == "deploy" and live and watch["seconds"] else None,
        "flip": list(now.edges),
        "confirm": list(now.edges),
        "retire": dict(live) if live else None,
        "record": now.answering(),
        "previous": {"release": live["release"], "hosts": on} if live else None,
    }


def _repair(now: State, revert: Mapping[str, Any] | None, narrow: Mapping[str, str]) -> Plan:
    """Repair the live release: finish what an earlier run left, and replace what went missing since."""
    live, target = now.live, now.live_manifest
    if live is None or target is None:
        raise AssertionError("there is a live release to repair")
    slot = live["slot"]
    before = now.history.before.get(target["id"])
    migrate = now.migration(target) if now.history.restored else None
    # The run that confirmed it died before it wrote the ledgers, or their list of its migrations is outdated.
    unrecorded = now.history.current != target["id"] or bool(migrate)
    left = _left_over(now, slot, waited=revert is not None)
    return {
        "manifest": target,
        "slot": slot,
        "migrate": migrate,
        "start": now.lacking(target, slot),
        **_after(
            narrow,
            now.config(now.history.manifests.get(before["release"]), target, slot, before["hosts"])
            if before
            else now.config(None, target, slot),
        ),
        "canary": None,
        "watch": None,
        "flip": [],
        "confirm": list(now.edges) if unrecorded else [],
        "retire": left,
        "record": (now.answering() if revert else list(now.apps)) if unrecorded or left else [],
        "previous": before,
    }


def _after(narrow: Mapping[str, str], config: Plan) -> Plan:
    """The configuration of the edges, some of which have a narrower one by then."""
    stale = {*config["configure"], *narrow} - {edge for edge, text in narrow.items() if text == config["edge_config"]}
    return {**config, "configure": sorted(stale)}


def _brings_up(now: State, target: Manifest) -> bool:
    """Whether a singleton service is not running, so that it starts with the release."""
    return any(placement.down(now.observed[host], target, names) for host, names in now.spread(target).items() if names)


def _left_over(now: State, slot: str, waited: bool) -> dict[str, str | None] | None:
    """Return the idle slot when it holds containers that no step stops: the run that should have stopped them died.

    Hosts may hold different releases there. ``waited``: also containers that a step is about to stop.
    """
    for host in now.answering() if waited else now.apps:
        leaving = {"slot": None} if waited else now.observed[host]["retiring"] or {"slot": None}
        for one in now.observed[host]["containers"]:
            if one["slot"] not in (slot, leaving["slot"]):
                return {"slot": one["slot"], "release": None}
    return None


def _workers(now: State, target: Manifest) -> dict[str, list[str]]:
    """App host → its services alongside the slots, for hosts where these differ from the release.

    A singleton service that was not running was already started with the slot.
    """
    found = {}
    for host, names in now.spread(target).items():
        if host in now.observed:
            alongside = placement.alongside_slots(target, names)
            started = placement.down(now.observed[host], target, names)
            if not placement.runs(now.observed[host], target, alongside, started):
                found[host] = alongside
    return found


def _targets(plan: Plan) -> dict[str, list[str]]:
    """Return the steps that have something to do, in the playbook's order, each with the hosts that must complete it."""
    revert = [plan["revert"]["host"]] if plan["revert"] and not plan["revert"]["waits_for"] else []
    targets = {
        "narrow": list(plan["narrow"]),
        "reconcile": [*plan["converge"], *(host for host in plan["abort"] if host not in plan["converge"])],
        "fetch": list(plan["fetch"]),
        "pending": [plan["migrate"]["host"]] if plan["migrate"] else [],
        "schema_check": [plan["schema_check"]["host"]] if plan["schema_check"] else [],
        "rollback_check": revert,
        "rehearse": [plan["rehearse"]["on"]] if plan["rehearse"] else [],
        "restore_point": [plan["restore_point"]["host"]] if plan["restore_point"] else [],
        "migrate": [plan["migrate"]["host"]] if plan["migrate"] and plan["action"] != "rehearsal" else [],
        "start": plan["start"],
        "join": plan["join"],
        "configure": plan["configure"],
        "canary": plan["flip"] if plan["canary"] else [],
        "flip": plan["flip"],
        "confirm": plan["confirm"],
        "workers": list(plan["workers"]),
        "drain": plan["drain"],
        "retire": plan["record"],
        "revert": revert,
    }
    return {step: hosts for step, hosts in targets.items() if hosts}


def in_order(steps: Sequence[str], order: Sequence[str]) -> list[str]:
    """Sort the steps into the playbook's order; raises PlanError for one it does not have."""
    unknown = [step for step in steps if step not in order]
    if unknown:
        raise PlanError(f"the plan needs {', '.join(unknown)}, which release_steps of this playbook does not have")
    return sorted(steps, key=order.index)


def _with_ports(desired: Desired, wanted: Manifest, observed: Mapping[str, Observation]) -> Manifest:
    """Return the manifest with its ports: recorded ones stay, new ones are free on every host."""
    low, high = desired.contract["port_range"]
    try:
        recorded = ports.merge_records({host: item["ports"] for host, item in observed.items()})
        numbers = ports.allocate(
            wanted["app"],
            {name: service["replicas"] for name, service in manifests.of_kind(wanted, "web", "singleton").items()},
            recorded,
            {port for item in observed.values() for port in item["listening"]},
            low,
            high,
            manifests.of_kind(wanted, "singleton"),
        )
    except ports.PortError as error:
        raise PlanError(str(error)) from error
    return {**wanted, "ports": numbers}


def _pulls(now: State, plan: Plan) -> dict[str, disk_space.Pull]:
    """Return what each host that starts something has to pull. Raises PlanError when it does not fit."""
    manifest, known = plan["manifest"], plan["manifest"].get("sizes", {})
    names = {host: plan["services"].get(host, []) for host in plan["start"]}
    if plan["migrate"]:  # in its service's image, wherever that service is
        host = plan["migrate"]["host"]
        names[host] = [*names.get(host, []), plan["migrate"]["service"]]
    pulls = {host: disk_space.pull(manifest, wanted, now.observed[host], known) for host, wanted in names.items()}
    for host, pull in pulls.items():
        fault = disk_space.fault(host, pull, now.desired.contract["disk_free"])
        if fault:
            raise PlanError(fault)
    return pulls
