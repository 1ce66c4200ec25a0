# SPDX-License-Identifier: Apache-2.0
"""The databases of previews on a primary: copies of a scrubbed copy of the app's.

The app's data are copied once, into a template that nobody may connect to, and are scrubbed there. Each preview gets a copy of the template, so that
nobody ever connects to data that are not scrubbed. pg_hba.conf lets members of the ``group`` into the database of their own name.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    HostError,
    as_postgres,
    connection,
    require_space,
    sql,
)
from ansible_collections.sluice.stack.plugins.module_utils.dump.sql import DATABASES, ROLES, create, quoted, text
from ansible_collections.sluice.stack.plugins.module_utils.files import locked

SOCKET = "/var/run/postgresql"
LOCK = "/var/lib/sluice/preview.lock"
# The server logs failing statements, and others when so configured: these contain passwords.
QUIET = "set log_min_error_statement = panic; set log_statement = none; set log_min_duration_statement = -1;\n"
# Beyond the database's own size: the template and a preview, and what the file system needs for itself.
SPACE_FACTOR, SPACE_BYTES = 2.2, 512 * 2**20
COPY_SECONDS = 3600.0
CONNECTIONS = 20
COMMENTS = "select coalesce(json_object_agg(datname, shobj_description(oid, 'pg_database')), '{}') from pg_database"
EXTENSIONS = (
    "select coalesce(json_agg(json_build_array(extname, nspname)), '[]') from pg_extension join pg_namespace n on n.oid = extnamespace "
    "where extname <> 'plpgsql'"
)
# A copy over a pipe: nothing of it is on a disk but in the database.
COPY = (
    'set -o pipefail; pg_dump --host "$1" --port "$2" --dbname "$3" --format custom --compress 0 --no-owner --no-privileges --no-publications '
    '--no-subscriptions "${@:6}" | pg_restore --host "$1" --port "$2" --dbname "$4" --role "$5" --no-owner --no-privileges --no-comments --exit-on-error'
)


class Server:
    """The primary of this host, and what one app's previews have on it."""

    def __init__(self, port: int, group: str) -> None:
        self.host = {"socket": SOCKET, "port": port}
        self.group, self.template = group, f"{group}_template"

    def run(self, statement: str, database: str = "postgres", timeout: float = 60) -> str:
        """Run statements, unlogged. Raises HostError."""
        return sql(self.host, QUIET + statement, database, timeout)

    def comments(self) -> dict[str, dict[str, Any]]:
        """Return each database, with what was noted of it here."""
        return {name: _noted(comment) for name, comment in json.loads(self.run(COMMENTS)).items()}

    def roles(self) -> list[str]:
        """Return the names of all roles."""
        found: list[str] = json.loads(self.run(ROLES))
        return found

    def drop(self, name: str) -> None:
        """Drop a database, whoever uses it."""
        self.run(f"drop database if exists {quoted(name)} with (force)")

    def note(self, name: str, **facts: Any) -> None:
        """Note something of a database."""
        self.run(f"comment on database {quoted(name)} is {text(json.dumps(facts))}")


def _noted(comment: str | None) -> dict[str, Any]:
    try:
        found = json.loads(comment or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def previews(server: Server) -> dict[int, float]:
    """Return when each preview that has a database was deployed last."""
    found = {}
    for name, noted in server.comments().items():
        match = re.fullmatch(rf"{re.escape(server.group)}_(\d+)", name)
        if match:
            found[int(match[1])] = float(noted.get("used", 0))
    return found


def identity(source: str, scrub: str, without: Sequence[str]) -> str:
    """What a template is made of, in short: another scrub needs another template."""
    return hashlib.sha256(json.dumps([source, scrub, sorted(without)]).encode()).hexdigest()[:16]


def due(noted: Mapping[str, Any] | None, made_of: str, now: float, max_age_days: float) -> bool:
    """Whether the template has to be made again."""
    return not noted or noted.get("of") != made_of or now - float(noted.get("made", 0)) > max_age_days * 86400


def present(
    server: Server,
    name: str,
    password: str,
    source: str,
    scrub: str,
    without: Sequence[str],
    max_age_days: float,
    fresh: bool,
) -> dict[str, Any]:
    """Have a preview's role and database; one that is there keeps its data unless ``fresh``. Raises HostError.

    Returns {made, copied}: whether the database, and before it the template, was made.
    """
    made_of, now = identity(source, scrub, without), time.time()
    with locked(LOCK):
        there = server.comments()
        if fresh and name in there:
            server.drop(name)
        make = fresh or name not in there
        copied = make and due(there.get(server.template), made_of, now, max_age_days)
        if copied:
            _copy(server, source, scrub, without)
            server.note(server.template, of=made_of, made=now)
        _role(server, name, password)
        if make:
            server.run(
                f"create database {quoted(name)} template {quoted(server.template)} owner {quoted(name)}",
                timeout=COPY_SECONDS,
            )
            server.run(f"revoke all on database {quoted(name)} from public")
        server.note(name, used=now)
    return {"made": make, "copied": copied}


def absent(server: Server, name: str) -> bool:
    """Remove a preview's database and role; with the last one the template goes too. Returns whether there was something."""
    with locked(LOCK):
        there = server.comments()
        role = name in server.roles()
        server.drop(name)
        server.run(f"drop role if exists {quoted(name)}")
        if not previews(server):
            for other in (server.template, _new(server)):
                server.drop(other)
            server.run(f"drop role if exists {quoted(server.group)}")
    return name in there or role


def _role(server: Server, name: str, password: str) -> None:
    """Have the role, with this password: a member of the group, which owns what was copied."""
    there = name in server.roles()
    options = f"login nosuperuser nocreatedb nocreaterole noreplication connection limit {CONNECTIONS} password {text(password)}"
    server.run(
        f"{'alter' if there else 'create'} role {quoted(name)} {options}; grant {quoted(server.group)} to {quoted(name)}"
    )


def _new(server: Server) -> str:
    return f"{server.group}_new"


def _copy(server: Server, source: str, scrub: str, without: Sequence[str]) -> None:
    """Make the template: a copy of the source, scrubbed. Under another name, so that one that is half made is never used."""
    row = next((one for one in json.loads(sql(server.host, DATABASES)) if one["name"] == source), None)
    if row is None:
        raise HostError(f"there is no database {source} here to copy")
    new, group = _new(server), quoted(server.group)
    data = server.run("show data_directory")
    require_space(data, int(row["bytes"] * SPACE_FACTOR + SPACE_BYTES), "the copy of the database")
    server.drop(new)
    if server.group not in server.roles():
        server.run(f"create role {group} nologin")
    server.run(create({**row, "owner": "postgres"}, new))
    try:
        # Nobody but the superuser may connect; the group may make what is copied.
        server.run(
            f"revoke all on database {quoted(new)} from public; grant create on database {quoted(new)} to {group}"
        )
        server.run(f"grant all on schema public to {group}", new)
        for extension, schema in json.loads(sql(server.host, EXTENSIONS, source)):
            server.run(
                f"create schema if not exists {quoted(schema)}; create extension if not exists {quoted(extension)} schema {quoted(schema)}",
                new,
            )
        excluded = [f"--exclude-table-data={table}" for table in without]
        argv = [
            "bash",
            "-c",
            COPY,
            "copy",
            SOCKET,
            str(server.host["port"]),
            connection(source),
            connection(new),
            server.group,
        ]
        done = as_postgres([*argv, *excluded], COPY_SECONDS)
        if done.code:
            raise HostError(f"{source} cannot be copied: {_last(done.err)}")
        _scrub(server, scrub, new)
        server.drop(server.template)
        server.run(f"alter database {quoted(new)} rename to {quoted(server.template)}")
    except HostError:
        server.drop(new)
        raise


def _scrub(server: Server, scrub: str, database: str) -> None:
    """Run the app's SQL as the group, so that it reaches nothing but the copy. All of it, or the copy is thrown away."""
    try:
        server.run(
            f"begin;\nset local role {quoted(server.group)};\n{scrub}\n;commit;\nanalyze;", database, COPY_SECONDS
        )
    except HostError as error:
        raise HostError(f"app_preview.scrub failed, so there is no copy: {error}") from None


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    grave = [line for line in lines if "error" in line.lower()]
    return (grave or lines or ["it printed nothing"])[0].strip()
