# SPDX-License-Identifier: Apache-2.0
"""What is live, from the hosts' observations; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.certificates.certificate import span
from ansible_collections.sluice.stack.plugins.module_utils.plan import placement
from ansible_collections.sluice.stack.plugins.module_utils.plan.state import confirmed_by_edges
from ansible_collections.sluice.stack.plugins.module_utils.release import credentials, ledger

Summary = dict[str, Any]
# The certificates of an edge are looked at every few minutes.
STATUS_AGE = 86400.0


def summarise(
    app: str,
    edges: Sequence[str],
    apps: Sequence[str],
    observed: Mapping[str, Mapping[str, Any]],
    unreachable: Mapping[str, str],
    rotations: Mapping[str, Mapping[str, Any]] | None = None,
) -> Summary:
    """Return the live release with its manifest, what each host holds, and the past releases.

    ``state`` is ``none`` (nothing deployed), ``live`` (all hosts agree), ``mixed`` (edges or slots disagree) or ``incomplete``.
    """
    history = ledger.merge_texts(item["ledger"] for item in observed.values())
    answering = [host for host in edges if host in observed]
    live, lagging = confirmed_by_edges(answering, observed, history)
    manifest = history.manifests.get(live["release"]) if live else None
    taking_part = [host for host in apps if host in observed and not observed[host]["drained"]]
    drift: dict[str, list[str]] = {}
    partial = []
    if live and manifest:
        placed = placement.spread(manifest, apps, taking_part)
        for host, item in ((host, observed[host]) for host in taking_part):
            drift[host] = placement.drift(item, manifest, live["slot"], placed[host])
            whole = placement.holds(item, manifest, live["slot"], placed[host])
            if not whole or placement.down(item, manifest, placed[host]):
                partial.append(host)
    state = "none" if live is None else "mixed" if lagging or partial else "incomplete" if unreachable else "live"
    return {
        "app": app,
        "state": state,
        "live": live,
        "previous": history.origins.get(live["release"], {}).get("release") if live else None,
        "restored": history.restored if manifest and manifest["migration"] else None,
        "failed_alongside": ledger.failed_alongside(history, live["release"]) if live else [],
        "manifest": manifest,
        "lagging": lagging,
        "partial": partial,
        "drift": {host: summary for host, summary in drift.items() if summary},
        "unreachable": dict(unreachable),
        "certificates": {
            host: _certificates(item["edge"]["certificates"])
            for host, item in sorted(observed.items())
            if item.get("edge", {}).get("certificates")
        },
        "secrets": _secrets(history, manifest, rotations or {}, datetime.now(UTC)),
        "hosts": {host: _host(item) for host, item in sorted(observed.items())},
        "releases": [
            {
                "id": release,
                "version": history.manifests[release]["version"],
                "state": "live"
                if live and release == live["release"]
                else "rolled back"
                if release in history.rolled_back
                else "confirmed",
            }
            for release in history.confirmed
            if release in history.manifests
        ],
    }


def _secrets(
    history: ledger.History,
    manifest: Mapping[str, Any] | None,
    rotations: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> dict[str, dict[str, Any]]:
    """Return for each rotated secret how many days its version is in use, as far back as the ledgers go, and how many it may be."""
    found: dict[str, dict[str, Any]] = {}
    held = credentials.versions(manifest) if manifest else {}
    for name in sorted(set(held) & set(rotations)):
        begun = [
            str(item["time"])
            for item in history.entries
            if item.get("manifest") and credentials.versions(item["manifest"]).get(name) == held[name]
        ]
        if begun:
            days = (now - datetime.fromisoformat(min(begun))).total_seconds() / 86400
            found[name] = {"days": round(days, 1), "max_age_days": rotations[name]["max_age_days"]}
    return found


def _host(item: Mapping[str, Any]) -> dict[str, Any]:
    lease = item["lease"]
    return {
        "lease": {
            **{key: lease[key] for key in ("run_id", "action", "who", "left")},
        }
        if lease["run_id"]
        else None,
        "split": _split(item["edge"]) if "edge" in item else None,
        "drained": item.get("drained", False),
        "containers": [
            {key: one[key] for key in ("service", "slot", "release", "replica", "state", "status")}
            for one in item.get("containers", [])
        ],
        "workers": [
            {key: one[key] for key in ("service", "release", "state", "status")} for one in item.get("workers", [])
        ],
    }


def _certificates(status: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return a line for each certificate of an edge, and its problems."""
    now = status["time"] + status["age"]
    lines = [
        f"{one['name']:<12} {span(one['ends'] - now)} left, by {one['issuer']}"
        for one in status["names"]
        if "ends" in one
    ]
    late = [f"sluice-certificates has not run for {span(status['age'])}"] if status["age"] > STATUS_AGE else []
    return {"lines": lines, "problems": [*late, *status["problems"]]}


def _split(edge: Mapping[str, Any]) -> str:
    record = edge["record"] or {}
    return "; ".join([*_maintenance(record.get("maintenance")), _shares(record, edge)])


def _maintenance(maintenance: Mapping[str, Any] | None) -> list[str]:
    if not maintenance:
        return []
    since = datetime.fromtimestamp(maintenance["since"], UTC)
    scope = f"all but {', '.join(maintenance['allow'])}" if maintenance["allow"] else "all clients"
    return [f"MAINTENANCE since {since:%Y-%m-%d %H:%M} UTC, 503 to {scope}"]


def _shares(record: Mapping[str, Any], edge: Mapping[str, Any]) -> str:
    if not (record.get("confirmed") or edge["pending_alive"]):
        return "503, nothing deployed"
    confirmed, pending = record.get("confirmed"), record.get("pending") if edge["pending_alive"] else None
    summary = [f"{confirmed['slot']} {confirmed['release']}"] if confirmed else []
    if pending:
        summary.append(
            f"{pending['slot']} {pending['release']} gets {pending['percent']} % until it is confirmed or reverted"
        )
    return "; ".join(summary)


def lines(summary: Summary) -> list[str]:
    """Format the summary."""
    live, manifest = summary["live"], summary["manifest"]
    if live is None:
        head = f"{summary['app']}: nothing is deployed"
    else:
        version = f"{manifest['version']}, " if manifest else ""
        head = f"{summary['app']}: {summary['state']}, {version}release {live['release']} in slot {live['slot']}"
    result = [head]
    for host, item in summary["hosts"].items():
        if item["split"]:
            result.append(f"  {host:<10} edge   → {item['split']}")
        result += [f"  {host:<10} TLS    {line}" for line in summary["certificates"].get(host, {}).get("lines", [])]
        if item["drained"]:
            result.append(f"  {host:<10} DRAINED, gets no requests until playbooks/hosts/join.yml")
        for one in item["containers"]:
            mark = "●" if live and one["release"] == live["release"] and one["slot"] == live["slot"] else "○"
            result.append(
                f"  {host:<10} {one['slot']:<6} {mark} {one['service']:<12} {one['release']}  {one['status']}"
            )
        for one in item["workers"]:
            mark = "●" if live and one["release"] == live["release"] else "○"
            result.append(f"  {host:<10} -      {mark} {one['service']:<12} {one['release']}  {one['status']}")
        if item["lease"]:
            lease = item["lease"]
            over = "" if lease["left"] > 0 else ", expired, not released"
            result.append(f"  {host:<10} lease  {lease['action']} by {lease['who']} (run {lease['run_id']}){over}")
    result += [f"  secret     {_age(name, item)}" for name, item in summary["secrets"].items()]
    if summary["restored"]:
        back = summary["restored"]
        version = manifest["version"] if manifest else ""
        result.append(
            f"  DATA       restored to {back['summary']} at {back['time']}: deploy {version} again to apply migrations it may lack"
        )
    result += [f"  {host:<10} DRIFT  {'; '.join(summary)}" for host, summary in summary["drift"].items()]
    result += [f"  {line}" for line in problems(summary)]
    result += _unreachable(summary)
    if summary["releases"]:
        result.append("  releases, newest first:")
        result += [f"    {one['id']:<34} {one['state']}" for one in reversed(summary["releases"][-10:])]
    return result


def _age(name: str, item: Mapping[str, Any]) -> str:
    """Return how old a rotated secret is, and what to do about it."""
    most = item["max_age_days"]
    late = most is not None and item["days"] > most
    advice = f", more than {most:g}: playbooks/secrets/rotate.yml -e secret={name}" if late else ""
    return f"{name}, in use for {item['days']:.0f} days{advice}"


def problems(summary: Summary) -> list[str]:
    """Return what is wrong with certificates, a line each."""
    return [
        f"{host:<10} CERTIFICATE {line}" for host, item in summary["certificates"].items() for line in item["problems"]
    ]


def lease_lines(summary: Summary) -> list[str]:
    """Format the lease of each host."""
    held = {host: item["lease"] for host, item in summary["hosts"].items() if item["lease"]}
    alive = any(lease["left"] > 0 for lease in held.values())
    lines = []
    for host, lease in held.items():
        left = f"its lease ends in {lease['left']:.0f} s" if lease["left"] > 0 else "expired, not released"
        lines.append(f"  {host:<10} {lease['action']} by {lease['who']}, run {lease['run_id']}, {left}")
    return [f"{summary['app']}: {'locked by a run' if alive else 'no run is active'}", *lines, *_unreachable(summary)]


def _unreachable(summary: Summary) -> list[str]:
    return [f"  {host:<10} UNREACHABLE {reason}" for host, reason in sorted(summary["unreachable"].items())]


def switch_lines(copies: Iterable[Iterable[Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """Format what was done to flags at once, from the copies of all hosts, each with its time."""
    unique = {(one["flag"], one["run_id"], one["action"], one["reason"]): one for copy in copies for one in copy}
    return [
        (
            one["time"],
            f"  {one['time'][:19]}Z        {one['action']:<9} {one['flag']}  by {one['who']}, run {one['run_id']}"
            + (f": {one['reason']}" if one["reason"] else ""),
        )
        for one in unique.values()
    ]


def _place(last: ledger.Entry) -> str:
    """Return what an entry is about."""
    if last["event"] == "restored":
        return f"the data, to {last['to']['summary']}"
    return ", ".join(last.get("secrets", {})) if last["event"] == "rotated" else str(last["release"])


def history_lines(app: str, history: ledger.History, runs: int, switches: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Format the history, the newest run first: a line for each run, and one for each detail; ``switches`` of flags in between."""
    by_run: dict[tuple[int, str], list[ledger.Entry]] = {}
    for item in (one for one in [*history.past, *history.entries] if one["event"] != ledger.MARK):
        by_run.setdefault((item["token"], item["run_id"]), []).append(item)
    lines = [f"{app}: {len(by_run)} runs are recorded"]
    between = sorted(switches, reverse=True)[:runs]
    for (token, run_id), items in list(by_run.items())[: -runs - 1 : -1]:
        while between and between[0][0] >= items[0]["time"]:
            lines.append(between.pop(0)[1])
        # A "reverted" entry follows the entry that ends the run; it counts as the end only when it is alone.
        last = ([item for item in items if item["event"] != "reverted"] or items)[-1]
        reverted = [name for item in items for name in item.get("reverted", [])]
        revision = f" at {last['revision'][:10]}" if last.get("revision") else ""
        place = _place(last)
        what = f"#{token:<4} {last['action']:<9} {last['event']:<10} {place}"
        lines.append(f"  {items[0]['time']}  {what}  by {last['who']}{revision}, run {run_id}")
        if last.get("message"):
            lines.append(f"      failed in step {last['step']}: {last['message']}")
        if last.get("superseded"):
            lines.append(f"      took the lease from run {', '.join(last['superseded'])}")
        if last.get("without"):
            lines.append(f"      without {', '.join(last['without'])} (excluded or unreachable)")
        point = last.get("restore_point")
        if point:
            place = f"dump {point['dump']}" if "dump" in point else f"{point['lsn']} on timeline {point['timeline']}"
            lines.append(f"      restore point before it: {place}, {point['time']}")
        lines += [
            f"      gate {one['gate']} waived by {one['by']} until {one['until']}: {one['reason']} ({one['evidence']})"
            for one in last.get("waived", [])
        ]
        if last.get("migrations"):
            lines.append(f"      migrated: {', '.join(last['migrations'])}")
        if reverted:
            lines.append(f"      reverted in the database: {', '.join(reverted)} of {items[-1]['release']}")
        if last.get("times"):
            lines.append(f"      took {last['times'][-1][1] - last['times'][0][1]:.1f} s")
        if last["release"] in history.rolled_back:
            lines.append("      rolled back later")
    return [*lines, *(line for _unused, line in between if len(by_run) <= runs)]
