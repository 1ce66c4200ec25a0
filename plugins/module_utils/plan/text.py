# SPDX-License-Identifier: Apache-2.0
"""The printed plan: exactly the steps that will run, a line each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.secret_reference import described
from ansible_collections.sluice.stack.plugins.module_utils.plan import backups, migrations, placement
from ansible_collections.sluice.stack.plugins.module_utils.plan.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests
from ansible_collections.sluice.stack.plugins.module_utils.release.ports import port_numbers

Plan = Mapping[str, Any]
VERBS = {
    "deploy": "Deploy",
    "rollback": "Roll back to",
    "rehearsal": "Rehearse the migrations of",
    "rotation": "Rotate a secret of",
}


def lines(plan: Plan, live_manifest: Mapping[str, Any] | None, facts: Facts) -> list[str]:
    """Format the plan, with the hosts' facts."""
    target, live = plan["manifest"], plan["live"]
    drift = [("drift", f"{host}: {'; '.join(summary)}") for host, summary in sorted(facts.drift.items())]
    if plan["status"] == "nothing":
        return [
            f"Nothing to do: {plan['app']} {target['version']} is live as {target['id']} in {plan['slot']}",
            *_table(drift),
        ]
    serving = f"release {live['release']} in {live['slot']}" if live else "nothing"
    verb = VERBS[plan["action"]] if plan["status"] in ("change", "rehearsed") else "Repair"
    found = [
        ("changes", ", ".join(manifests.changes(live_manifest, target)) if plan["status"] == "change" else ""),
        ("without", f"{', '.join(plan['excluded'])} (excluded)" if plan["excluded"] else ""),
        (
            "drained",
            f"{', '.join(plan['drained'])}, until playbooks/hosts/join.yml"
            if plan["drained"] and not plan["drain"]
            else "",
        ),
        *drift,
        ("data", _data(plan)),
        *(
            (
                "secret",
                f"{name}: the version of that release {f'was revoked on {when[:10]}' if when else 'took its turn'}; it gets the one that counts now",
            )
            for name, when in plan["revived"].items()
        ),
        *_preparing(plan, serving, facts),
        *_switching(plan, facts),
        *_ending(plan, facts),
    ]
    return [
        f"{verb} {plan['app']} {target['version']} as release {target['id']} (token {plan['token']}); live now: {serving}",
        *_table(found),
    ]


Lines = list[tuple[str, str]]  # step and what it does; empty for a step that does not run


def _table(found: Lines) -> list[str]:
    return [f"  {step:<10} {text}" for step, text in found if text]


def _preparing(plan: Plan, serving: str, facts: Facts) -> Lines:
    """The steps before an edge sends the release any request."""
    edges, late, migrate = plan["abort"], plan["converge"], plan["migrate"]
    point, rehearse = plan["restore_point"], plan["rehearse"]
    return [
        ("abort", f"the unconfirmed flip on {', '.join(edges)}" if edges else ""),
        *(("converge", f"{edge} from {facts.late[edge]} to {serving}, which another edge confirmed") for edge in late),
        *(
            ("narrow", f"{edge}: only hosts with {serving} until the others have it; one reload of Nginx")
            for edge in plan["narrow"]
        ),
        *(("fetch", f"{host}: {_fetched(wanted)}") for host, wanted in plan["fetch"].items()),
        *(("backup", line) for line in plan["backup_limits"]),
        ("backup", backups.summary(point, plan["manifest"]["id"]) if point else ""),
        (
            "database",
            f"{plan['schema_check']['host']} checks that it has the schema this release expects: migrations were reverted, or the data was restored"
            if plan["schema_check"]
            else "",
        ),
        ("rehearse", _rehearsal(rehearse, migrate) if rehearse else ""),
        (
            "migrate",
            f"{migrate['engine']}, in {migrate['service']}'s new image, once, on {migrate['host']}"
            if migrate and plan["action"] == "deploy"
            else "",
        ),
        *(("start", _start(plan, host, facts)) for host in plan["start"]),
        ("join", f"{plan['join'][0]}: it gets requests again" if plan["join"] else ""),
    ]


def _fetched(wanted: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(f"{name} from {described(one['place'])}" for name, one in sorted(wanted.items()))


def _data(plan: Plan) -> str:
    back = plan["restored"]
    if not (back and plan["migrate"]):
        return ""
    return f"restored to {back['summary']} at {back['time']}: the release's missing migrations are applied"


def _rehearsal(rehearse: Mapping[str, Any], migrate: Mapping[str, Any]) -> str:
    check = f"; then release {rehearse['live']['id']} is checked on it" if rehearse["service"] else ""
    return f"{migrate['engine']} on {rehearse['on']}, on a copy of the database on {rehearse['host']}{check}"


def _start(plan: Plan, host: str, facts: Facts) -> str:
    manifest, slot = plan["manifest"], plan["slot"]
    names = plan["services"].get(host, [])
    ports = ", ".join(
        f"{name} on port {'/'.join(map(str, port_numbers(manifest['ports'], name, slot)))}"
        for name in placement.in_slots(manifest, names)
    )
    alone = [f"{name} on port {port_numbers(manifest['ports'], name, slot)[0]}" for name in facts.alone.get(host, [])]
    cleared = facts.clear.get(host)
    parts = [
        facts.pull.get(host, ""),
        f"clear {'; '.join(cleared)}" if cleared else "",
        f"{ports} in {slot}" if ports else "",
        f"{', '.join(alone)} alongside the slots" if alone else "",
    ]
    return f"{host}: {', '.join(part for part in parts if part)}"


def _switching(plan: Plan, facts: Facts) -> Lines:
    """The steps that change where requests go."""
    flip, canary, live = plan["flip"], plan["canary"], plan["live"]
    shares = ", ".join(f"{percent} %" for percent in canary["steps"]) if canary else ""
    checks = f"checked after {canary['interval']:g} s each, up to {canary['checks']} times" if canary else ""
    before = f" from {live['slot']}" if live else ""
    watched = f", or when it fails visitors within {plan['watch']['seconds']:g} s" if plan["watch"] else ""
    return [
        *(
            (
                "tls",
                f"{edge}: provisioned without, so host names answer over HTTP; run provision.yml, or set nginx_tls: false",
            )
            for edge in plan["in_the_clear"]
        ),
        *(("configure", f"{edge}: {'; '.join(facts.reload[edge])}; one reload of Nginx") for edge in plan["configure"]),
        ("canary", f"{shares} of clients to {plan['slot']}, {checks}" if canary else ""),
        (
            "flip",
            f"{', '.join(flip)}: all requests{before} to {plan['slot']}; reverts automatically unless confirmed{watched}"
            if flip
            else "",
        ),
    ]


def _ending(plan: Plan, facts: Facts) -> Lines:
    """The steps once the release is live."""
    unrecorded = plan["confirm"] and not plan["flip"] and not plan["migrate"]
    slot = (plan["retire"] or {}).get("slot")
    return [
        (
            "record",
            "the live release, which the run that confirmed it did not write to the ledgers" if unrecorded else "",
        ),
        *(("workers", f"{host}: {', '.join(summary)}") for host, summary in facts.alongside.items()),
        *(("recreate", f"{host}: {summary}") for host, found in facts.replaced.items() for summary in found),
        (
            "drain",
            f"{plan['drain'][0]}: it gets no new requests and finishes open ones" if plan["drain"] else "",
        ),
        *(
            ("retire", f"{host}: stop {'; '.join(summary)} in {slot}, once it has drained")
            for host, summary in sorted(facts.stop.items())
        ),
        ("revert", migrations.summary(plan["revert"]) if plan["revert"] else ""),
        ("on failure", migrations.summary_on_failure(plan["on_failure"]) if plan["on_failure"] else ""),
    ]
