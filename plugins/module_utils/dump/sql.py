# SPDX-License-Identifier: Apache-2.0
"""The SQL around dumps: pure text for making databases, exchanging them by their names, and roles that are missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import PREVIEWS

# PostgreSQL cuts longer names off.
NAME_BYTES = 63
# What a restore leaves alongside the live databases is not dumped: shop_before_0123456789. Nor are previews, whose code a restore would run.
DATABASES = f"""
select coalesce(json_agg(json_build_object(
  'name', datname, 'oid', oid::int8, 'owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding), 'provider', datlocprovider,
  'collate', datcollate, 'ctype', datctype, 'bytes', pg_database_size(oid),
  'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')) order by datname), '[]')
from pg_database d where datallowconn and not datistemplate and datname !~ '_(before|left|restored)_[0-9a-f]{{10}}$'
  and datname !~ '{PREVIEWS}'
"""  # noqa: S608 - a constant
ROLES = "select coalesce(json_agg(rolname), '[]') from pg_roles"
_END = """
select count(pg_terminate_backend(pid)) from pg_stat_activity where datname in ({names}) and pid <> pg_backend_pid()
"""
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
# The entries of a dump's list that are about the database itself, and not about what is in it.
_OF_DATABASE = re.compile(r"^\d+; \d+ \d+ (?:DATABASE PROPERTIES -|(?:ACL|COMMENT|SECURITY LABEL) - DATABASE) ")
_ENTRY = re.compile(r"^-- Name: .*; Type: ([A-Z ]+); Schema: ")
_NAME = r'("(?:[^"]|"")+"|[^\s";]+)'
_MADE = re.compile(rf"^CREATE ROLE {_NAME};$")
_OF_ROLE = re.compile(rf"^(?:ALTER ROLE|COMMENT ON ROLE) {_NAME} ")
_MEMBER = re.compile(rf"^GRANT {_NAME} TO {_NAME}(?= |;)")


def quoted(name: str) -> str:
    """A name in a statement."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string in a statement."""
    return "'" + value.replace("'", "''") + "'"


def alongside(name: str, what: str, identity: str) -> str:
    """The name of a database alongside ``name``: before, left or restored, of the restore ``identity``."""
    tail = f"_{what}_{identity}"
    return name.encode()[: NAME_BYTES - len(tail)].decode(errors="ignore") + tail


def is_alongside(name: str) -> bool:
    """Whether a restore keeps this database alongside a live one."""
    return bool(re.search(r"_(before|left)_[0-9a-f]{10}$", name))


def create(database: Mapping[str, Any], name: str) -> str:
    """The statement that makes an empty database like ``database``, a row of DATABASES, called ``name``."""
    words = [
        f"create database {quoted(name)} template template0 owner {quoted(database['owner'])}",
        f"encoding {text(database['encoding'])} locale_provider {_PROVIDERS[database['provider']]}",
        f"lc_collate {text(database['collate'])} lc_ctype {text(database['ctype'])}",
    ]
    if database["locale"]:
        words.append(f"{'icu' if database['provider'] == 'i' else 'builtin'}_locale {text(database['locale'])}")
    return " ".join(words)


def exchange(moves: Sequence[tuple[str, str]], more: str = "") -> str:
    """One transaction that gives databases other names, in this order; ``more`` statements are part of it.

    Each rename keeps newcomers out of its database from then on, and waits a few seconds for who is in it: see ``end_sessions``.
    """
    renames = "".join(f"alter database {quoted(old)} rename to {quoted(new)};\n" for old, new in moves)
    return f"begin;\n{renames}{more}\ncommit;\n"


def end_sessions(names: Iterable[str]) -> str:
    """The query that ends the sessions in these databases."""
    return _END.format(names=", ".join(text(name) for name in names))


def drop(name: str) -> str:
    """The statement that removes a database."""
    return f"drop database if exists {quoted(name)} with (force)"


def of_database(listing: str) -> str:
    """Those lines of ``pg_restore --list`` that are about the database itself: who may connect, its settings, its comment."""
    return "".join(f"{line}\n" for line in listing.splitlines() if _OF_DATABASE.match(line))


def statements(script: str) -> str:
    """The statements of these entries in what ``pg_restore --create`` wrote.

    It always writes how the database is made, and how a session gets there, too.
    """
    kept: list[str] = []
    wanted = inside = False
    for line in script.splitlines():
        entry = _ENTRY.match(line)
        if not inside and (entry or line.startswith("\\")):
            wanted = entry is not None and entry[1] != "DATABASE"
        elif inside or (wanted and line not in ("", "--")):
            kept.append(line)
            # A comment or a setting may have lines that look like anything.
            inside ^= line.count("'") % 2 == 1
    return "\n".join(kept)


class Missing(NamedTuple):
    """The roles of a dump that a server lacks: what makes them, their names, and the names of those it has already."""

    statements: str
    made: list[str]
    kept: list[str]


def missing_roles(script: str, present: Iterable[str]) -> Missing:
    """What of the script of ``pg_dumpall --globals-only`` makes the roles that are not ``present``, and their memberships."""
    there = set(present)
    lines = script.splitlines()
    named = [_plain(found[1]) for line in lines if (found := _MADE.match(line))]
    made = [name for name in named if name not in there]
    wanted = []
    for line in lines:
        about = _MADE.match(line) or _OF_ROLE.match(line) or _MEMBER.match(line)
        if about and any(_plain(name) in made for name in about.groups()):
            wanted.append(line)
    return Missing("\n".join(wanted), made, [name for name in named if name in there])


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
