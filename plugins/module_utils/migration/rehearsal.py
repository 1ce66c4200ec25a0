# SPDX-License-Identifier: Apache-2.0
"""A rehearsal of migrations on a copy of the data: its database URL and its findings. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

# Relations that hold rows, by name, with their file: another file means that the relation was rewritten.
RELATIONS = """
select coalesce(json_object_agg(n.nspname || '.' || c.relname, json_build_array(pg_relation_filenode(c.oid), pg_total_relation_size(c.oid))), '{}')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_%'
"""
Relations = Mapping[str, Sequence[Any]]


def pointed_at(
    manifest: Mapping[str, Any], values: Mapping[str, str], service: str, variable: str, address: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the manifest and its secrets' values with ``variable`` of a service, a database URL, pointing to ``address`` (host:port).

    User, password and the rest of the URL stay: they are valid for the copy too.
    """
    original = manifest["services"][service]
    url = urlsplit(values[variable] if variable in original["secrets"] else original["env"][variable])
    login = url.netloc.rpartition("@")
    copied = {
        **original,
        "env": {name: value for name, value in original["env"].items() if name != variable},
        "secrets": {**original["secrets"], variable: "rehearsal"},
    }
    # These parameters would override the host part and connect to the live database.
    query = "&".join(
        part for part in url.query.split("&") if part.partition("=")[0] not in ("host", "hostaddr", "port")
    )
    there = urlunsplit(url._replace(netloc=f"{login[0]}{login[1]}{address}", query=query))
    return {**manifest, "services": {**manifest["services"], service: copied}}, {**values, variable: there}


def rewritten(before: Relations, after: Relations) -> list[dict[str, Any]]:
    """Return the relations that were rewritten to another file, the largest first: {name, bytes}."""
    moved = [
        {"name": name, "bytes": int(after[name][1])}
        for name, (file, _unused) in before.items()
        if name in after and after[name][0] != file
    ]
    return sorted(moved, key=lambda one: (-one["bytes"], one["name"]))


def lines(copy: Mapping[str, Any], tried: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Format the findings, a line each; ``copy`` and ``tried`` are the results of db_scratch and migration_rehearsal."""
    names = ", ".join(tried["applied"]) or "the tool's pending migrations"
    found = [
        f"on a copy of {copy['size'] / 2**20:.1f} MiB, restored from backup {copy['backup']} in {copy['seconds']:.1f} s",
        f"{names}: {tried['seconds']:.1f} s" + (f", {tried['attempts']} attempts" if tried["attempts"] > 1 else ""),
        *(f"rewrites table {one['name']}, {one['bytes'] / 2**20:.1f} MiB" for one in tables),
    ]
    if tried["checked"]:
        found.append(f"release {tried['checked']} passed its check on the new schema")
    return found
