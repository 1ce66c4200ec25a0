# SPDX-License-Identifier: Apache-2.0
"""A dump's files loaded into a server: its roles, and its databases under names of their own. The server is the live one, or a drill's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import as_postgres, connection, sql
from ansible_collections.sluice.stack.plugins.module_utils.dump import sql as dump_sql
from ansible_collections.sluice.stack.plugins.module_utils.dump.make import must, program
from ansible_collections.sluice.stack.plugins.module_utils.dump.sql import Missing

# A database nobody dumps or exchanges: from here the others can be renamed.
MAINTENANCE = "template1"


def roles(server: Mapping[str, Any], folder: str) -> Missing:
    """Make the roles that the server lacks. Raises HostError."""
    with open(os.path.join(folder, "globals.sql"), encoding="utf-8") as handle:
        found = dump_sql.missing_roles(handle.read(), json.loads(sql(server, dump_sql.ROLES, MAINTENANCE)))
    if found.made:
        sql(server, f"begin;\n{found.statements}\ncommit;", MAINTENANCE)
    return found


def database(
    server: Mapping[str, Any], folder: str, entry: Mapping[str, Any], name: str, make: bool, seconds: float
) -> None:
    """Restore a database of the manifest as ``name``, which is made when ``make``, and have the planner know it. Raises HostError."""
    if make:
        sql(server, dump_sql.create(entry, name), MAINTENANCE)
    done = as_postgres(
        [
            *program(server, "pg_restore"),
            *("--exit-on-error", "--no-tablespaces", f"--jobs={server['jobs']}", "--dbname", connection(name)),
            os.path.join(folder, entry["folder"]),
        ],
        seconds,
    )
    must(done, f"database {entry['name']}")
    sql(server, "analyze", name, seconds)


def properties(server: Mapping[str, Any], folder: str, entry: Mapping[str, Any]) -> str:
    """The statements for what belongs to the database itself, by the name it has in the dump. Raises HostError."""
    tool, archive = program(server, "pg_restore")[0], os.path.join(folder, entry["folder"])
    listing = dump_sql.of_database(
        must(as_postgres([tool, "--create", "--list", archive]), f"database {entry['name']}")
    )
    if not listing:
        return ""
    chosen = f"{archive}.list"
    must(as_postgres(["tee", chosen], text=listing), chosen)
    words = [tool, "--create", "--use-list", chosen, "--file", "-", archive]
    return dump_sql.statements(must(as_postgres(words), f"database {entry['name']}"))
