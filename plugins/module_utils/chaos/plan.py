# SPDX-License-Identifier: Apache-2.0
"""Which experiments a run does, where, and what the hosts need to know for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible_collections.sluice.stack.plugins.module_utils.chaos import catalogue
from ansible_collections.sluice.stack.plugins.module_utils.chaos.catalogue import Experiment, Promise
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import registry_of
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import Tls
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

Variables = Mapping[str, Any]
# Where images without a registry come from.
DOCKER_HUB = "registry-1.docker.io"
PORTS = {"https": 443, "http": 80}


class ChaosError(Exception):
    """The run is refused before anything is done; the message says why and what to do."""


class Fleet(NamedTuple):
    """What the inventory says: hosts of the groups edge, app, db and cache, in their order, the primary database first; variables by host."""

    groups: Mapping[str, Sequence[str]]
    variables: Mapping[str, Variables]

    def address(self, host: str) -> str:
        """Where the other hosts reach it."""
        found = self.variables.get(host, {})
        return str(found.get("stack_address") or found.get("ansible_host") or host)


class Item(NamedTuple):
    """One experiment of a run; ``skip`` says why it cannot be done. ``target`` is for the host."""

    experiment: Experiment
    host: str
    promise: Promise
    skip: str
    target: dict[str, Any]


def chosen(asked: str, skip: Sequence[str], *, protected: bool) -> list[tuple[Experiment, str]]:
    """Return the experiments that were asked for, by names or ``all``, each with why it is left out; raises ChaosError."""
    if not asked.strip():
        raise ChaosError(f"experiment is not set: run it with -e experiment=NAME or -e experiment=all; {known()}")
    names = [name.strip() for name in asked.split(",") if name.strip()]
    for name in names:
        if name != catalogue.ALL and name not in catalogue.BY_NAME:
            raise ChaosError(f"experiment is {name!r}: {did_you_mean(name, [*catalogue.NAMES, catalogue.ALL])}")
    if catalogue.ALL not in names:
        return [(catalogue.BY_NAME[name], "") for name in dict.fromkeys(names)]
    return [
        (
            one,
            "app_chaos.skip has it"
            if one.name in skip
            else f"{one.loses} would be lost: in a protected environment it has to be named"
            if one.loses and protected
            else "",
        )
        for one in catalogue.EXPERIMENTS
    ]


def spent(app: str, answer: Mapping[str, Any]) -> str:
    """Return why a protected environment refuses, in one line; empty where error budget is left, or nobody can tell.

    ``answer`` is that of prometheus_query to the least share that is left of any of the app's objectives.
    """
    left = [one["value"] for one in (answer.get("results") or {}).get("left", ()) if one.get("value") is not None]
    if not left or min(left) > 0:
        return ""
    return (
        f"a chaos experiment is refused: the error budget of {app} is spent ({min(left):.0%} of it are left), and its users have had enough; "
        "wait until it has recovered"
    )


def known() -> str:
    """All names, for a message."""
    return f"known: {', '.join(catalogue.NAMES)}"


def items(
    experiments: Sequence[tuple[Experiment, str]],
    fleet: Fleet,
    contract: Mapping[str, Any],
    at: str = "",
) -> list[Item]:
    """Return what is done where. ``at`` names a host; else an app host is the last one, and others are the first of their group."""
    settings = contract["chaos"]
    found = []
    for one, left_out in experiments:
        hosts = list(fleet.groups.get(one.group) or ())
        if at and at not in {name for group in fleet.groups.values() for name in group}:
            raise ChaosError(f"chaos_host is {at!r}, which is no host of the groups {', '.join(fleet.groups)}")
        if at and at not in hosts and len(experiments) == 1:
            raise ChaosError(
                f"chaos_host is {at}, and {one.name} is done on a host of group {one.group}: {', '.join(hosts) or 'none'}"
            )
        host = at if at in hosts else (hosts[-1] if one.group == "app" else hosts[0]) if hosts else ""
        usual = one.promise if len(hosts) > 1 else one.alone
        own = settings["promises"].get(one.name, {})
        base = usual or one.promise
        promise = Promise(
            base.failed if own.get("failed") is None else own["failed"],
            base.recovers if own.get("recovers") is None else own["recovers"],
        )
        why = left_out
        if not hosts:
            why = why or f"the inventory has no host in group {one.group}"
        elif usual is None:
            why = why or f"the inventory has one host in group {one.group}, and it takes two"
        found.append(Item(one, host, promise, why, target(one, host, fleet, contract) if not why else {}))
    return found


def target(one: Experiment, host: str, fleet: Fleet, contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host has to know for an experiment."""
    own = fleet.variables.get(host, {})
    served = {route["service"] for route in contract["routes"]}
    return {
        "app": contract["app"],
        "services": sorted(served),
        "peers": [fleet.address(name) for name in fleet.groups.get(PEERS.get(one.name, ""), ())],
        "ports": [int(own.get(variable) or port) for variable, port in PORTS_OF.get(one.name, ())],
        "endpoints": endpoints(one.name, own, contract),
        "ssh_port": int(own.get("baseline_ssh_port") or own.get("ansible_port") or 22),
        "seconds": contract["chaos"]["seconds"] or one.seconds,
        "settings": {
            key: value for key, value in contract["chaos"].items() if key not in ("promises", "skip", "probes")
        },
    }


# Whom a host is cut off from, and at which of its ports; without one it is all of them.
PORTS_OF = {"network_cut_database": [("postgres_port", 5432)], "network_cut_cache": [("redis_port", 6379)]}
PEERS = {"network_cut_app": "edge", "network_cut_database": "app", "network_cut_cache": "app"}


def endpoints(name: str, own: Variables, contract: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be away, each a host name and a port."""
    urls: list[str] = []
    if name == "registry_away":
        images = [service["image"] for service in contract["services"].values()]
        urls = [registry_of(image) or DOCKER_HUB for image in images]
    elif name == "object_store_away":
        urls = [str(one["endpoint"]) for one in own.get("backup_repositories") or () if one.get("endpoint")]
    elif name == "acme_away" and own.get("edge_tls_source", "acme") == "acme":
        urls = [str(own.get("edge_tls_acme_directory") or "https://acme-v02.api.letsencrypt.org/directory")]
    elif name == "secret_store_away":
        sources = own.get("app_secret_sources") or {}
        urls = [
            str(url)
            for url in ((sources.get("vault") or {}).get("url"), (sources.get("aws") or {}).get("endpoint"))
            if url
        ]
    return [end(url) for url in dict.fromkeys(urls)]


def end(url: str) -> dict[str, Any]:
    """Split an address, with or without its scheme."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    return {"host": parts.hostname or url, "port": parts.port or PORTS.get(parts.scheme, 443)}


def probes(
    contract: Mapping[str, Any], fleet: Fleet, tls: Tls, http_port: int, without: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return what is asked: every route, and what the app adds, through every edge but those ``without`` which it has to go."""
    asked = [
        (route["host"] or "", route["verify_host"] or "", route["verify"], "GET", "") for route in contract["routes"]
    ]
    asked += [(one["host"], "", one["path"], one["method"], one["body"]) for one in contract["chaos"]["probes"]]
    return [
        {
            "name": f"{method if method != 'GET' else ''} {edge} {host}{path}".strip(),
            "address": str(fleet.variables.get(edge, {}).get("ansible_host") or edge),
            "port": tls.port if tls.of(host) else http_port,
            "tls": tls.of(host),
            "host": host or other,
            "path": path,
            "method": method,
            "body": body,
        }
        for edge in fleet.groups.get("edge") or ()
        if edge not in without
        for host, other, path, method, body in dict.fromkeys(asked)
    ]


def lines(found: Sequence[Item]) -> list[str]:
    """The plan for people."""
    return [
        f"  {one.experiment.name:<21} {one.host or '-':<10} "
        + (f"skipped: {one.skip}" if one.skip else f"{one.experiment.what}; promised: {one.promise.words()}")
        for one in found
    ]
