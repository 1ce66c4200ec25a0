# SPDX-License-Identifier: Apache-2.0
"""The databases of previews on a primary: copies of a scrubbed copy of the app's.

The app's data are copied once, into a template that nobody may connect to, and are scrubbed there. Each preview gets a copy of the template, so that
nobody ever connects to data that are not scrubbed. pg_hba.conf lets members of the ``group`` into the database of their own name.

What is copied has code of the app's: triggers, constraints, views. It runs in sessions of a role that is made for one copy and has no power.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    USER,
    HostError,
    Login,
    as_postgres,
    connection,
    require_space,
    sql,
)
from ansible_collections.sluice.stack.plugins.module_utils.dump.sql import DATABASES, ROLES, create, quoted, text
from ansible_collections.sluice.stack.plugins.module_utils.files import locked
from ansible_collections.sluice.stack.plugins.module_utils.postgres.logins import verifier
from ansible_collections.sluice.stack.plugins.module_utils.previews import tables

SOCKET = "/var/run/postgresql"
LOCK = "/var/lib/sluice/preview.lock"
# The server logs failing statements, and others when so configured: these contain passwords.
UNLOGGED = {"log_min_error_statement": "panic", "log_statement": "none", "log_min_duration_statement": "-1"}
QUIET = "".join(f"set {name} = {text(value)};\n" for name, value in UNLOGGED.items())
# What a row-level policy hides from its session would be left as it is: that is an error instead.
COPYING = {"row_security": "off"}
# Part of what a template is made of: one that an older release made may have been made with less care.
MADE_BY = 2
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
    f'set -o pipefail; pg_dump --host "$1" --port "$2" --username {USER} --dbname "$3" --format custom --compress 0 --no-owner --no-privileges '
    '--no-publications --no-subscriptions "${@:6}" | '
    'pg_restore --host "$1" --port "$2" --dbname "$4" --role "$5" --no-owner --no-privileges --no-comments --exit-on-error'
)
POPULATED = "select coalesce(json_object_agg(oid::regclass::text, pg_relation_filenode(oid)), '{}') from pg_class where relkind = 'm' and relispopulated"
# Materialized views have rows of before the scrub. All are emptied first, so that one that is filled too early, by what the catalogue does not say
# that it reads, fails. Deferred triggers come before.
REFRESH = """
set constraints all immediate;
set local search_path = pg_catalog;
do $sluice$
declare
  one text;
  views text[] := array(
    with recursive uses as (
      select distinct r.ev_class as view, d.refobjid as source from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
      where d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
    ), placed as (
      select oid as view, 0 as place from pg_class where relkind = 'm'
      union select u.view, p.place + 1 from placed p join uses u on u.source = p.view where p.place < 100
    )
    select c.oid::regclass::text from pg_class c join placed p on p.view = c.oid where c.relkind = 'm' and c.relispopulated
    group by c.oid order by max(p.place));
begin
  foreach one in array views loop execute 'refresh materialized view ' || one || ' with no data'; end loop;
  foreach one in array views loop execute 'refresh materialized view ' || one; end loop;
end
$sluice$;
"""


class Server:
    """The primary of this host, and what one app's previews have on it."""

    def __init__(self, port: int, group: str) -> None:
        self.host = {"socket": SOCKET, "port": port}
        self.group, self.template = group, f"{group}_template"
        # The database and the role of a copy that is being made.
        self.new = f"{group}_new"

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
            used = noted.get("used")
            # The note is on a database of the preview's role, which can write there what it likes.
            found[int(match[1])] = float(used) if isinstance(used, int | float) and 0 <= used <= time.time() else 0.0
    return found


def identity(source: str, scrub: str, without: Sequence[str]) -> str:
    """What a template is made of, in short: another scrub needs another template."""
    return hashlib.sha256(json.dumps([MADE_BY, source, scrub, sorted(without)]).encode()).hexdigest()[:16]


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
            _forget(server)
            server.drop(server.template)
            server.run(f"drop role if exists {quoted(server.group)}")
    return name in there or role


def _role(server: Server, name: str, password: str) -> None:
    """Have the role, with this password: a member of the group, which owns what was copied."""
    there = name in server.roles()
    server.run(
        f"{'alter' if there else 'create'} role {quoted(name)} {_powerless(password)} connection limit {CONNECTIONS}; "
        f"grant {quoted(server.group)} to {quoted(name)}"
    )


def _powerless(password: str) -> str:
    """The options of a role that may log in and nothing else; the server gets no password, but what it verifies it with."""
    return f"login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password {text(verifier(password, os.urandom(16)))}"


def _copy(server: Server, source: str, scrub: str, without: Sequence[str]) -> None:
    """Make the template: a copy of the source, scrubbed. Under another name, so that one that is half made is never used."""
    row = next((one for one in json.loads(sql(server.host, DATABASES)) if one["name"] == source), None)
    if row is None:
        raise HostError(f"there is no database {source} here to copy")
    try:
        left_out = tables.left_out(without, json.loads(sql(server.host, tables.TABLES, source)))
    except tables.NoTable as error:
        raise HostError(f"app_preview.without has {error} in database {source}; nothing was copied") from None
    data = server.run("show data_directory")
    require_space(data, int(row["bytes"] * SPACE_FACTOR + SPACE_BYTES), "the copy of the database")
    _forget(server)
    try:
        login = _prepare(server, row)
        _fill(server, login, source, left_out)
        _scrub(server, login, scrub)
        # Fails when the copied code kept something for it.
        server.run(
            f"revoke all on database {quoted(server.new)} from {quoted(server.new)}; drop role {quoted(server.new)}"
        )
        server.drop(server.template)
        server.run(f"alter database {quoted(server.new)} rename to {quoted(server.template)}")
    except HostError:
        _forget(server)
        raise


def _forget(server: Server) -> None:
    """Remove a copy that is half made, and its role."""
    server.drop(server.new)
    server.run(f"drop role if exists {quoted(server.new)}")


def _prepare(server: Server, row: Mapping[str, Any]) -> Login:
    """Make the empty copy of a database, a row of DATABASES, with what only a superuser can; and the role that fills it."""
    new, group = quoted(server.new), quoted(server.group)
    login = Login(server.new, secrets.token_hex(24), COPYING)
    if server.group not in server.roles():
        server.run(f"create role {group} nologin")
    server.run(create({**row, "owner": USER}, server.new))
    # Nobody but this role may connect; the group may make what is copied.
    server.run(
        f"revoke all on database {new} from public; grant create on database {new} to {group}; "
        f"create role {new} {_powerless(login.password)}; grant {group} to {new}; grant connect on database {new} to {new};"
        + "".join(f"alter role {new} set {name} = {text(value)};" for name, value in UNLOGGED.items())
    )
    server.run(f"grant all on schema public to {group}", server.new)
    for extension, schema in json.loads(sql(server.host, EXTENSIONS, row["name"])):
        server.run(
            f"create schema if not exists {quoted(schema)}; create extension if not exists {quoted(extension)} schema {quoted(schema)}",
            server.new,
        )
    try:
        sql(server.host, "select true", server.new, login=login)
    except HostError as error:
        raise HostError(
            f"role {server.new}, which fills the copy, cannot log in: run provision.yml, which lets it in by pg_hba.conf ({error})"
        ) from None
    return login


def _fill(server: Server, login: Login, source: str, left_out: Sequence[tables.Table]) -> None:
    """Copy the source, without the rows of some tables. Raises HostError."""
    places = [SOCKET, str(server.host["port"]), connection(source), connection(server.new), server.group]
    excluded = [f"--exclude-table-data={table.quoted}" for table in left_out]
    done = as_postgres(["bash", "-c", COPY, "copy", *places, *excluded], COPY_SECONDS, login=login)
    if done.code:
        raise HostError(f"{source} cannot be copied: {_last(done.err)}")
    if left_out:
        query = f"set search_path = pg_catalog; {tables.with_rows(left_out)}"
        found = json.loads(sql(server.host, query, server.new, COPY_SECONDS, login))
        if found:
            names = ", ".join(left_out[index].quoted for index in found)
            raise HostError(f"app_preview.without: the copy has rows of {names}, so there is no copy")


def _scrub(server: Server, login: Login, scrub: str) -> None:
    """Run the app's SQL as the group, so that it reaches nothing but the copy. All of it, or the copy is thrown away."""
    statements = f"begin;\nset local role {quoted(server.group)};\n{scrub}\n;{REFRESH}commit;\nanalyze;"
    before = json.loads(server.run(POPULATED, server.new))
    try:
        sql(server.host, statements, server.new, COPY_SECONDS, login)
    except HostError as error:
        raise HostError(f"app_preview.scrub failed, so there is no copy: {error}") from None
    stale = [name for name, file in json.loads(server.run(POPULATED, server.new)).items() if before.get(name) == file]
    if stale:
        raise HostError(f"materialized views have rows that were not scrubbed, so there is no copy: {', '.join(stale)}")


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    grave = [line for line in lines if "error" in line.lower()]
    return (grave or lines or ["it printed nothing"])[0].strip()
