# SPDX-License-Identifier: Apache-2.0
"""A scratch copy of this host's database: the newest backup, restored alongside the live cluster."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import PREVIEWS, HostError, as_postgres, sql
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.migration.rehearsal import RELATIONS, rewritten
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client

FOLDER = "/var/lib/postgresql/sluice-rehearsal"
# Next to the directory, which belongs to the scratch cluster.
RECORD = "/var/lib/sluice/backup/rehearsal.json"
# Without those of previews, which no migration here is about.
DATABASES = f"""
select coalesce(json_agg(datname), '[]') from pg_database
where datallowconn and not datistemplate and datname <> 'postgres' and datname !~ '{PREVIEWS}'
"""  # noqa: S608 - a constant


def _at(host: Mapping[str, Any]) -> dict[str, Any]:
    """Return the host's settings for the copy, with a place that no drill uses."""
    return {**backup_scratch.at(host, FOLDER), "port": host["drill_port"] + 1}


def bring_up(host: Mapping[str, Any], address: str, clients: Sequence[str]) -> dict[str, Any]:
    """Restore the newest backup with all later changes, and allow ``clients`` (networks) at ``address``. Raises HostError.

    Returns {address, backup, size, seconds}; the address includes the port.
    """
    copy, begun = _at(host), time.time()
    backup_scratch.remove(copy)
    try:
        repository, backup = client.newest(host, host["drill_repository"])
        backup_scratch.require_space(FOLDER, backup.size)
        client.copy(copy, repository, {"listen_addresses": address, **_certificate(host)})
        _allow(copy, clients)
        write_json(RECORD, {"relations": _relations(copy)})
    except HostError as error:
        # No later step would remove it.
        backup_scratch.remove(copy)
        raise HostError(f"no copy of the database: {error}") from error
    where = f"[{address}]" if ":" in address else address
    return {
        "address": f"{where}:{copy['port']}",
        "backup": backup.label,
        "size": backup.size,
        "seconds": time.time() - begun,
    }


def _allow(copy: Mapping[str, Any], clients: Sequence[str]) -> None:
    entry = "".join(f"host all all {network} scram-sha-256\n" for network in clients)
    written = as_postgres(["tee", "--append", f"{FOLDER}/pg_hba.conf"], text=entry)
    if written.code:
        raise HostError(written.output)
    sql(copy, "select pg_reload_conf()")


def take_down(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Remove the copy; returns the relations that were rewritten in it, empty without a copy. Raises HostError."""
    copy = _at(host)
    moved: list[dict[str, Any]] = []
    try:
        if os.path.isdir(FOLDER) and os.path.exists(RECORD):
            moved = rewritten(read_json(RECORD)["relations"], _relations(copy))
    finally:
        backup_scratch.remove(copy)
        if os.path.exists(RECORD):
            os.unlink(RECORD)
    return moved


def _relations(copy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the relations of all databases, as database.schema.name."""
    return {
        f"{database}.{name}": place
        for database in json.loads(sql(copy, DATABASES))
        for name, place in json.loads(sql(copy, RELATIONS, database)).items()
    }


def _certificate(host: Mapping[str, Any]) -> dict[str, str]:
    """Return the live server's certificate settings, so that clients can verify the copy alike."""
    if sql(host, "show ssl") != "on":
        return {}
    return {
        "ssl": "on",
        **{f"ssl_{part}_file": sql(host, f"show ssl_{part}_file") for part in ("cert", "key")},
    }
