# SPDX-License-Identifier: Apache-2.0
"""What is live, as the hosts say it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import ledger
from ansible_collections.sluice.stack.plugins.module_utils.plan import confirmed_by_edges, holds

Summary = dict[str, Any]


def summarise(
    app: str,
    edges: Sequence[str],
    apps: Sequence[str],
    observed: Mapping[str, Mapping[str, Any]],
    silent: Mapping[str, str],
) -> Summary:
    """The live release with its manifest, what each host holds, and the releases there were.

    ``state`` is ``none`` (nothing deployed), ``live`` (all hosts agree), ``mixed`` (edges or slots disagree) or ``incomplete``.
    """
    history = ledger.merge(item["ledger"] for item in observed.values())
    answering = [host for host in edges if host in observed]
    live, lagging = confirmed_by_edges(answering, observed, history)
    manifest = history.manifests.get(live["release"]) if live else None
    partial = [
        host
        for host in apps
        if host in observed and live and manifest and not holds(observed[host], manifest, live["slot"])
    ]
    state = "none" if live is None else "mixed" if lagging or partial else "incomplete" if silent else "live"
    return {
        "app": app,
        "state": state,
        "live": live,
        "manifest": manifest,
        "lagging": lagging,
        "partial": partial,
        "silent": dict(silent),
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


def _host(item: Mapping[str, Any]) -> dict[str, Any]:
    lease = item["lease"]
    return {
        "lease": {key: lease[key] for key in ("run_id", "action", "who")} if lease["run_id"] else None,
        "split": _split(item["edge"]) if "edge" in item else None,
        "containers": [
            {key: one[key] for key in ("service", "slot", "release", "replica", "state", "status")}
            for one in item.get("containers", [])
        ],
    }


def _split(edge: Mapping[str, Any]) -> str:
    record = edge["record"]
    if not record or not (record.get("confirmed") or edge["pending_alive"]):
        return "503, nothing deployed"
    confirmed, pending = record.get("confirmed"), record.get("pending") if edge["pending_alive"] else None
    words = [f"{confirmed['slot']} {confirmed['release']}"] if confirmed else []
    if pending:
        words.append(
            f"trying {pending['slot']} {pending['release']} with {pending['percent']} % until it is confirmed or undone"
        )
    return "; ".join(words)


def lines(summary: Summary) -> list[str]:
    """The summary as a person reads it."""
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
        for one in item["containers"]:
            mark = "●" if live and one["release"] == live["release"] and one["slot"] == live["slot"] else "○"
            result.append(
                f"  {host:<10} {one['slot']:<6} {mark} {one['service']:<12} {one['release']}  {one['status']}"
            )
        if item["lease"]:
            result.append(
                f"  {host:<10} lease  {item['lease']['action']} by {item['lease']['who']} (run {item['lease']['run_id']})"
            )
    result += [f"  {host:<10} SILENT {reason}" for host, reason in sorted(summary["silent"].items())]
    if summary["releases"]:
        result.append("  releases, newest first:")
        result += [f"    {one['id']:<34} {one['state']}" for one in reversed(summary["releases"][-10:])]
    return result
