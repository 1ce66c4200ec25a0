# SPDX-License-Identifier: Apache-2.0
"""The plan: what a run will do, decided from what is wanted and what every host said it has.

Pure: it takes and returns plain data. The edges' confirmed records are the truth about what is live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import (
    backups,
    facts,
    migrations,
    placement,
    room,
    singles,
)
from ansible_collections.sluice.stack.plugins.module_utils.plan import situation as situations
from ansible_collections.sluice.stack.plugins.module_utils.plan import text as plan_text
from ansible_collections.sluice.stack.plugins.module_utils.plan import wish as wishes
from ansible_collections.sluice.stack.plugins.module_utils.plan.situation import Situation
from ansible_collections.sluice.stack.plugins.module_utils.plan.wish import Observation, PlanError, Wish
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.release import ports
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import next_token
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import Manifest

__all__ = ["PlanError", "Wish", "decide"]

Plan = dict[str, Any]


def decide(wish: Wish, observed: Mapping[str, Observation]) -> Plan:
    """The plan for ``wish``; raises PlanError when it cannot be fulfilled."""
    now = situations.read(wish, observed)
    live, live_manifest, history = now.live, now.live_manifest, now.history
    wanted = wishes.release(wish, history, live, now.apps, observed)
    fault = placement.fault(wanted, wish.apps, now.apps, strict=wish.action == "deploy") or singles.fault(
        live_manifest, wanted, {host: observed[host] for host in wish.apps if host in observed}
    )
    if fault:
        raise PlanError(fault)
    same = live_manifest is not None and live_manifest["fingerprint"] == wanted["fingerprint"]
    undo = migrations.undo(wish, history, live, live_manifest if same and live_manifest else wanted, now.apps)
    body = _repair(now, undo) if same else _change(now, wanted)
    target: Manifest = body["manifest"]
    if wish.action == "rehearsal":
        body = {**body, **_NO_CHANGE}
    migrations.require_engine(wish)
    point, limits = backups.restore_point(wish, same)
    rehearse = backups.rehearsal(wish, body["migrate"], live_manifest)
    plan: Plan = {
        "action": wish.action,
        "app": target["app"],
        "token": next_token([item["highest"] for item in observed.values()]),
        "live": live,
        "contracted": history.contracted,
        "went_back": history.restored,
        "addresses": dict(wish.addresses),
        "abandon": [host for host in now.edges if observed[host]["edge"]["pending_alive"]],
        "converge": list(now.lagging),
        "lost": sorted({*wish.lost, *wish.silent}),
        "drained": sorted(now.drained),
        "join": [wish.host] if wish.action == "join" and observed[str(wish.host)]["drained"] else [],
        "services": {host: names for host, names in now.spread(target).items() if names},
        "background": {} if wish.action == "rehearsal" else _background(now, target),
        "restore_point": point,
        "backup_limits": limits,
        # A host that is no part of the play is spoken to on behalf of one that is.
        "through": {point["host"]: now.apps[0]} if point else {},
        "rehearse": rehearse,
        "expected": None if same else migrations.expected(wish, history, wanted, now.apps),
        "undo": undo,
        "on_failure": migrations.on_failure(
            wish, None if same else body["migrate"], live_manifest, _brings_up(now, target)
        ),
        # What the ledgers keep of it, so that a run which dies before is finished by the same command.
        "to_undo": migrations.kept(undo) or (history.undo.get(target["id"]) if same else None),
        "drain": [wish.host] if wish.action == "drain" and not observed[str(wish.host)]["drained"] else [],
        **body,
    }
    plan["asked"] = _asked(plan)
    # A release gives the app back in its last two steps, and what undoes its migrations in that.
    ends = "undo" in plan["asked"] or (plan["flip"] and not plan["background"])
    plan["steps"] = [*plan["asked"], *([] if ends else ["give_back"])]
    plan["status"] = (
        "rehearsed"
        if rehearse and wish.action == "rehearsal"
        else "change"
        if not same
        else "repair"
        if plan["steps"] != ["give_back"]
        else "nothing"
    )
    pulls = _pulls(now, plan)
    plan["lines"] = plan_text.lines(plan, live_manifest, facts.of(plan, live_manifest, observed, pulls))
    return plan


# What a run that only tries something leaves as it is.
_NO_CHANGE: Plan = {
    "start": [],
    "configure": [],
    "canary": None,
    "flip": [],
    "confirm": [],
    "retire": None,
    "record": [],
}


def _change(now: Situation, wanted: Manifest) -> Plan:
    """Bring another release up in the idle slot, and go over to it."""
    live = now.live
    slot = "green" if live and live["slot"] == "blue" else "blue"
    target = _with_ports(now.wish, wanted, now.observed)
    before = now.live_manifest
    on = list(now.apps)
    config = now.config(before, target, slot)
    if config["configure"] and live and before:
        # A reload that is due must not bring a host into the live slot that does not hold the live release.
        on = [host for host in now.apps if now.holds(host, before, live["slot"])]
        config = now.config(before, target, slot, on)
    return {
        "manifest": target,
        "slot": slot,
        "migrate": now.migration(target),
        # Where it still runs, well, from when it was live, there is nothing to start.
        "start": now.lacking(target, slot, well=True),
        **config,
        "canary": now.wish.contract["canary"] if now.wish.action == "deploy" and live else None,
        "flip": list(now.edges),
        "confirm": list(now.edges),
        "retire": dict(live) if live else None,
        "record": now.answering(),
        "previous": {"release": live["release"], "hosts": on} if live else None,
    }


def _repair(now: Situation, undo: Mapping[str, Any] | None) -> Plan:
    """Make the live release whole: what an earlier run left undone, and what went missing since."""
    live, target = now.live, now.live_manifest
    assert live is not None and target is not None, "there is a live release to repair"  # noqa: S101
    slot = live["slot"]
    before = now.history.before.get(target["id"])
    migrate = now.migration(target) if now.history.restored else None
    # The run that confirmed it died before it wrote the ledgers, or what they say of its migrations is out of date.
    unrecorded = now.history.current != target["id"] or bool(migrate)
    left = _left_over(now, slot, waited=undo is not None)
    return {
        "manifest": target,
        "slot": slot,
        "migrate": migrate,
        "start": now.lacking(target, slot),
        **(
            now.config(now.history.manifests.get(before["release"]), target, slot, before["hosts"])
            if before
            else now.config(None, target, slot)
        ),
        "canary": None,
        "flip": [],
        "confirm": list(now.edges) if unrecorded else [],
        "retire": left,
        "record": (now.answering() if undo else list(now.apps)) if unrecorded or left else [],
        "previous": before,
    }


def _brings_up(now: Situation, target: Manifest) -> bool:
    """Whether something that must not run twice does not run at all, so that it comes up with the release."""
    return any(placement.down(now.observed[host], target, names) for host, names in now.spread(target).items() if names)


def _left_over(now: Situation, slot: str, waited: bool) -> dict[str, str | None] | None:
    """The idle slot, when something is in it that nothing is about to stop: the run that should have done so died.

    Whatever it is: hosts may have been left at different releases. ``waited``: also what something is about to stop.
    """
    for host in now.answering() if waited else now.apps:
        leaving = {"slot": None} if waited else now.observed[host]["retiring"] or {"slot": None}
        for one in now.observed[host]["containers"]:
            if one["slot"] not in (slot, leaving["slot"]):
                return {"slot": one["slot"], "release": None}
    return None


def _background(now: Situation, target: Manifest) -> dict[str, list[str]]:
    """App host → its services beside the slots, for hosts that have others, or none of the release yet.

    What must not run twice and does not run at all was brought up before, when the slot was.
    """
    found = {}
    for host, names in now.spread(target).items():
        if host in now.observed:
            beside = placement.beside_slots(target, names)
            started = placement.down(now.observed[host], target, names)
            if not placement.runs(now.observed[host], target, beside, started):
                found[host] = beside
    return found


def _asked(plan: Plan) -> dict[str, list[str]]:
    """The steps that have something to do, in the playbook's order, each with the hosts that must have done it."""
    undo = [plan["undo"]["host"]] if plan["undo"] and not plan["undo"]["waits_for"] else []
    asked = {
        "settle": [*plan["converge"], *(host for host in plan["abandon"] if host not in plan["converge"])],
        "pending": [plan["migrate"]["host"]] if plan["migrate"] else [],
        "expected": [plan["expected"]["host"]] if plan["expected"] else [],
        "undoable": undo,
        "rehearse": [plan["rehearse"]["on"]] if plan["rehearse"] else [],
        "restore_point": [plan["restore_point"]["host"]] if plan["restore_point"] else [],
        "migrate": [plan["migrate"]["host"]] if plan["migrate"] and plan["action"] != "rehearsal" else [],
        "start": plan["start"],
        "join": plan["join"],
        "configure": plan["configure"],
        "canary": plan["flip"] if plan["canary"] else [],
        "flip": plan["flip"],
        "confirm": plan["confirm"],
        "background": list(plan["background"]),
        "drain": plan["drain"],
        "retire": plan["record"],
        "undo": undo,
    }
    return {step: hosts for step, hosts in asked.items() if hosts}


def in_order(steps: Sequence[str], order: Sequence[str]) -> list[str]:
    """The steps as the playbook orders them; raises PlanError for one it has no place for."""
    homeless = [step for step in steps if step not in order]
    if homeless:
        raise PlanError(f"the plan needs {', '.join(homeless)}, which release_steps of this playbook does not have")
    return sorted(steps, key=order.index)


def _with_ports(wish: Wish, wanted: Manifest, observed: Mapping[str, Observation]) -> Manifest:
    """The manifest with its ports: recorded ones stay, new ones are free on every host."""
    low, high = wish.contract["port_range"]
    try:
        recorded = ports.merge_records({host: item["ports"] for host, item in observed.items()})
        numbers = ports.allocate(
            wanted["app"],
            {name: service["replicas"] for name, service in manifests.of_kind(wanted, "web", "single").items()},
            recorded,
            {port for item in observed.values() for port in item["listening"]},
            low,
            high,
            manifests.of_kind(wanted, "single"),
        )
    except ports.PortError as error:
        raise PlanError(str(error)) from error
    return {**wanted, "ports": numbers}


def _pulls(now: Situation, plan: Plan) -> dict[str, room.Pull]:
    """What each host that starts something has to pull. Raises PlanError when it does not fit."""
    manifest, known = plan["manifest"], plan["manifest"].get("sizes", {})
    names = {host: plan["services"].get(host, []) for host in plan["start"]}
    if plan["migrate"]:  # in its service's image, wherever that service is
        host = plan["migrate"]["host"]
        names[host] = [*names.get(host, []), plan["migrate"]["service"]]
    pulls = {host: room.pull(manifest, wanted, now.observed[host], known) for host, wanted in names.items()}
    for host, pull in pulls.items():
        fault = room.fault(host, pull, now.wish.contract["disk_free"])
        if fault:
            raise PlanError(fault)
    return pulls
