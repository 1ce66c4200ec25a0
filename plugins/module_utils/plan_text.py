# SPDX-License-Identifier: Apache-2.0
"""A plan as a person reads it: exactly the steps that will run, a line each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import manifest as manifests

Plan = Mapping[str, Any]
VERBS = {"deploy": "Deploy", "rollback": "Roll back to"}


def lines(plan: Plan, live_manifest: Mapping[str, Any] | None, missing: Mapping[str, Sequence[str]]) -> list[str]:
    """The plan; ``missing`` are the images each host that starts something has to pull."""
    target, live = plan["manifest"], plan["live"]
    if plan["status"] == "nothing":
        return [
            f"Nothing to do: {plan['app']} {target['version']} is live as {target['id']} in {plan['slot']}, as wanted"
        ]
    serving = f"release {live['release']} in {live['slot']}" if live else "nothing"
    verb = VERBS[plan["action"]] if plan["status"] == "change" else "Repair"
    found = [
        ("changes", ", ".join(manifests.changes(live_manifest, target)) if plan["status"] == "change" else ""),
        ("without", f"{', '.join(plan['lost'])} (lost)" if plan["lost"] else ""),
        (
            "drained",
            f"{', '.join(plan['drained'])}, until host_join.yml" if plan["drained"] and not plan["drain"] else "",
        ),
        *_preparing(plan, serving, missing),
        *_switching(plan),
        *_ending(plan),
    ]
    return [
        f"{verb} {plan['app']} {target['version']} as release {target['id']} (token {plan['token']}); live now: {serving}",
        *(f"  {step:<10} {text}" for step, text in found if text),
    ]


Lines = list[tuple[str, str]]  # step and what it does; empty for a step that does not run


def _preparing(plan: Plan, serving: str, missing: Mapping[str, Sequence[str]]) -> Lines:
    """What happens before any edge sends the release anything."""
    edges, late, migrate = plan["abandon"], plan["converge"], plan["migrate"]
    return [
        ("abandon", f"the unconfirmed flip on {', '.join(edges)}" if edges else ""),
        ("converge", f"{', '.join(late)} to {serving}, which another edge confirmed" if late else ""),
        (
            "migrate",
            f"{migrate['engine']}, in {migrate['service']}'s new image, once, on {migrate['host']}" if migrate else "",
        ),
        *(("start", _start(plan, host, missing[host])) for host in plan["start"]),
        ("join", f"{plan['join'][0]}: it gets requests again" if plan["join"] else ""),
    ]


def _start(plan: Plan, host: str, missing: Sequence[str]) -> str:
    manifest, slot = plan["manifest"], plan["slot"]
    pulls = f"pull {len(missing)} image{'s' if len(missing) != 1 else ''}, " if missing else ""
    names = ", ".join(
        f"{name} on port {'/'.join(map(str, manifest['ports'][name][slot]))}"
        for name in manifests.of_kind(manifest, "web")
    )
    return f"{host}: {pulls}{names} in {slot}"


def _switching(plan: Plan) -> Lines:
    """What changes who is sent where."""
    reload, flip, canary = plan["configure"], plan["flip"], plan["canary"]
    shares = ", ".join(f"{percent} %" for percent in canary["steps"]) if canary else ""
    looks = f"judged after {canary['seconds']:g} s each, up to {canary['looks']} times" if canary else ""
    return [
        ("configure", f"{', '.join(reload)}: routes, hosts or ports changed, one reload of Nginx" if reload else ""),
        ("canary", f"{shares} of the visitors, {looks}" if canary else ""),
        ("flip", f"{', '.join(flip)} to {plan['slot']}; undone by itself unless confirmed" if flip else ""),
    ]


def _ending(plan: Plan) -> Lines:
    """What happens once the release is live."""
    unrecorded = plan["confirm"] and not plan["flip"]
    retire = plan["retire"] or {}
    what = retire.get("release") or "what an earlier run left there"
    return [
        (
            "record",
            "the live release, which the run that confirmed it did not write into the ledgers" if unrecorded else "",
        ),
        *(
            ("background", f"{host}: {', '.join(names) or 'nothing of the release'}")
            for host, names in sorted(plan["background"].items())
        ),
        (
            "drain",
            f"{plan['drain'][0]}: it gets no requests any more, and finishes those it has" if plan["drain"] else "",
        ),
        ("retire", f"{retire['slot']} ({what}), once it has drained" if retire else ""),
    ]
