# SPDX-License-Identifier: Apache-2.0
"""What an edge has to have certificates for, and from where. Pure, but for ``read``."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import ANY
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import DEFAULT, SOURCES, entry, wildcard
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json

FOLDER = "/etc/sluice/certificates"
KEYS = ("source", "fullchain", "key", "challenge")
UNUSED_SECONDS = 7 * 86400.0
NAME = re.compile(r"^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+$")


class Desired(NamedTuple):
    """One certificate: for a host name or a wildcard, by settings; ``names`` are the host names that edges serve with it."""

    name: str
    settings: Mapping[str, Any]
    names: tuple[str, ...] = ()


class Fleet(NamedTuple):
    """The edges that share certificates; all have the same list, in the same order."""

    position: int = 0
    peers: tuple[Mapping[str, Any], ...] = ()
    http_port: int = 80
    https_port: int = 443


def read(folder: str = FOLDER) -> dict[str, Mapping[str, Any]]:
    """Return what the role wrote, for each inventory's app."""
    return {
        os.path.basename(path).removesuffix(".json"): read_json(path)
        for path in sorted(glob.glob(os.path.join(folder, "*.json")))
    }


def acceptable(name: str) -> bool:
    """Whether there can be a certificate for it: a host name, a wildcard, or the default for requests that neither matches."""
    return name == DEFAULT or NAME.match(name) is not None


def fleet(given: Mapping[str, Mapping[str, Any]]) -> Fleet:
    """Return the edges. Inventories that share edges list the same ones."""
    one: Mapping[str, Any] = next(iter(given.values()), {})
    return Fleet(
        one.get("position", 0), tuple(one.get("peers", ())), one.get("http_port", 80), one.get("https_port", 443)
    )


def desired(given: Mapping[str, Mapping[str, Any]], served: Mapping[str, Iterable[str]]) -> list[Desired]:
    """Return the certificates to have: those that inventories name, and those of the host names each app has TLS for."""
    found: dict[str, Desired] = {}
    for inventory in given.values():
        for name, own in inventory["hosts"].items():
            found[name] = Desired(name, {**inventory["defaults"], **own})
    for app, names in served.items():
        of_app: Mapping[str, Any] = given.get(app) or next(iter(given.values()), {})
        for name in sorted(names):
            key = DEFAULT if name == ANY else next((key for key in (name, wildcard(name)) if key in found), name)
            # Nothing but an inventory gives a default certificate.
            others = {} if key == DEFAULT else of_app.get("defaults", {})
            one = found.get(key) or Desired(key, {"source": "none", **others})
            if one.settings["source"] != "none":
                found[key] = one._replace(names=(*one.names, name))
    return [found[key] for key in sorted(found) if found[key].settings["source"] != "none"]


def referred(given: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the files with keys and credentials that what the role wrote refers to."""
    found = set()
    for inventory in given.values():
        for one in (inventory["defaults"], *inventory["hosts"].values()):
            found |= {one[key] for key in ("bundle", "ca", "dns_credentials") if one.get(key)}
    return found


def unused(
    present: Iterable[str], wanted: Collection[str], since: Mapping[str, float], now: float
) -> tuple[dict[str, float], list[str]]:
    """Return since when each path has not been wanted, and those for which that is long enough: they are removed.

    A rollback may want a name's certificate again, and a CA counts those it gives.
    """
    found = {path: since.get(path, now) for path in present if path not in wanted}
    over = sorted(path for path, begun in found.items() if now - begun >= UNUSED_SECONDS)
    return {path: begun for path, begun in found.items() if path not in over}, over


def problems(hosts: Mapping[str, Any], defaults: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return what is wrong with ``edge_tls`` and its defaults, a line each."""
    found = []
    for name, own in hosts.items():
        where = f"edge_tls.{name}"
        if not isinstance(own, Mapping):
            found.append(f"{where} must be a map, such as {{source: files}}, not {own!r}")
            continue
        found += [f"{where}.{key} is unknown: use {', '.join(KEYS)}" for key in own if key not in KEYS]
        if not acceptable(str(name)):
            found.append(f"{where}: not a host name in lower case, *.example.com, or {DEFAULT}")
        if own.get("source", defaults["source"]) not in SOURCES:
            found.append(f"{where}.source={own['source']}: use one of {', '.join(SOURCES)}")
        if own.get("source", defaults["source"]) == "files" and not (own.get("fullchain") and own.get("key")):
            found.append(f"{where}: source files needs fullchain and key, as text")
        if own.get("challenge", "http") not in ("http", "dns"):
            found.append(f"{where}.challenge={own['challenge']}: use http or dns")
        if name == DEFAULT and own.get("source", defaults["source"]) == "acme":
            found.append(f"{where}: no CA gives a certificate for any name: set source to files or self_signed")
        dns = own.get("challenge") == "dns" or str(name).startswith("*.")
        if own.get("source", defaults["source"]) == "acme" and dns and not defaults["dns"].get("plugin"):
            found.append(f"{where} is proved by DNS: set edge_tls_dns.plugin, such as rfc2136")
    for name in names:
        if entry(name, hosts)[1].get("source", defaults["source"]) == "files" and not entry(name, hosts)[1].get("key"):
            found.append(f"app_routes: {name} has source files: put its fullchain and key into edge_tls.{name}")
    return sorted(set(found))


def written(hosts: Mapping[str, Any], defaults: Mapping[str, Any], names: Iterable[str], app: str) -> dict[str, Any]:
    """Return what the role writes: ``hosts`` and ``defaults`` for the program, ``secrets`` as path to text, and ``packages``."""
    dns = defaults["dns"]
    secrets: dict[str, str] = {}
    packages: set[str] = set()
    shown: dict[str, Any] = {}
    credentials = os.path.join(FOLDER, f"{app}-dns.ini") if dns.get("settings") else ""
    if credentials:
        secrets[credentials] = "".join(
            f"dns_{dns['plugin']}_{key} = {value}\n" for key, value in dns["settings"].items()
        )
    ca = os.path.join(FOLDER, f"{app}-ca.pem") if defaults.get("ca") else ""
    if ca:
        secrets[ca] = defaults["ca"].rstrip() + "\n"
    by_dns = {"dns_plugin": dns.get("plugin"), "dns_credentials": credentials, "dns_seconds": dns.get("seconds", 60)}
    for name, own in hosts.items():
        kept = {key: own[key] for key in ("source",) if key in own}
        if own.get("source", defaults["source"]) == "files":
            kept["bundle"] = os.path.join(FOLDER, f"{name.replace('*', '_')}.pem")
            secrets[kept["bundle"]] = f"{own['key'].strip()}\n{own['fullchain'].strip()}\n"
        elif own.get("challenge") == "dns" or name.startswith("*."):
            kept |= by_dns
        shown[name] = kept
    sources = {
        own.get("source", defaults["source"]) for own in [*hosts.values(), *(entry(name, hosts)[1] for name in names)]
    }
    if "acme" in sources:
        packages.add("certbot")
        if dns.get("plugin"):
            packages.add(f"python3-certbot-dns-{dns['plugin']}")
    more = {key: defaults[key] for key in ("source", "email", "directory", "profile", "key_type", "precheck")} | {
        "ca": ca
    }
    return {"defaults": more, "hosts": shown, "secrets": secrets, "packages": sorted(packages)}
