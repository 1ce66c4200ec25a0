# SPDX-License-Identifier: Apache-2.0
"""How a Postgres server's roles, databases and privileges, and its certificate, differ from what is desired."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

Rows = Collection[Collection[str]]
_POWERS = ("super", "createdb", "createrole", "replication", "bypassrls")
_KINDS = {"table": "r", "sequence": "S"}  # as pg_default_acl names them


def quoted(value: Any) -> str:
    """Return a value as an SQL literal that holds JSON."""
    return "'" + json.dumps(value).replace("'", "''") + "'"


def server_query(files: Collection[str]) -> str:
    """Return the query for what a server runs with and holds. ``files`` are those it reads; the answer is one JSON object.

    A setting has the fields that ``settings.restarts`` reads.
    """
    read = f"from json_array_elements_text({quoted(list(files))}) as name"
    acl = (
        "(select coalesce(json_agg(json_build_array(coalesce(rolname, ''), privilege_type)), '[]') from "
        "aclexplode(coalesce(datacl, acldefault('d', datdba))) left join pg_roles on pg_roles.oid = grantee)"
    )
    return f"""select json_build_object(
'settings', (select json_object_agg(name, json_build_object('setting', setting, 'unit', unit, 'vartype', vartype, 'context', context,
  'sourcefile', sourcefile, 'pending_restart', pending_restart, 'pretty_val', current_setting(name))) from pg_settings where context = 'postmaster'),
'checksums', current_setting('data_checksums'),
'unread', (select coalesce(max((pg_stat_file(name, true)).modification) > pg_conf_load_time(), false) {read}),
'pending', (select coalesce(string_agg(name, ', ' order by name), '') from pg_settings where pending_restart and name !~ '^recovery_target'),
'refused', (select coalesce(string_agg('line ' || line_number || ': ' || error, '; '), '') from pg_hba_file_rules where error is not null),
'roles', (select json_object_agg(rolname, json_build_object('login', rolcanlogin, 'super', rolsuper, 'createdb', rolcreatedb,
  'createrole', rolcreaterole, 'replication', rolreplication, 'bypassrls', rolbypassrls, 'password', rolpassword)) from pg_authid),
'members', (select coalesce(json_agg(json_build_array(m.rolname, g.rolname)), '[]') from pg_auth_members
  join pg_roles m on m.oid = member join pg_roles g on g.oid = roleid),
'databases', (select json_object_agg(datname, json_build_object('owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding),
  'collate', datcollate, 'ctype', datctype, 'acl', {acl})) from pg_database),
'acting', (select coalesce(json_agg(json_build_array(datname, rolname, setting)), '[]') from pg_db_role_setting
  join pg_database d on d.oid = setdatabase join pg_roles r on r.oid = setrole, unnest(setconfig) as setting))"""  # noqa: S608 - quoted


DATABASE_QUERY = """select json_build_object(
'extensions', (select coalesce(json_agg(extname), '[]') from pg_extension),
'relations', (select coalesce(json_agg(json_build_object('name', relname, 'kind', case relkind when 'S' then 'sequence' else 'table' end,
  'acl', (select coalesce(json_agg(json_build_array(rolname, privilege_type)), '[]') from aclexplode(relacl)
    join pg_roles on pg_roles.oid = grantee))), '[]')
  from pg_class where relnamespace = to_regnamespace('public') and relkind in ('r', 'v', 'm', 'p', 'f', 'S')),
'defaults', (select coalesce(json_agg(json_build_array(pg_get_userbyid(defaclrole), defaclobjtype, rolname, privilege_type)), '[]')
  from pg_default_acl, aclexplode(defaclacl) join pg_roles on pg_roles.oid = grantee where defaclnamespace = 0))"""


def differences(
    desired: Mapping[str, Any],
    passwords: Mapping[str, str],
    server: Mapping[str, Any],
    databases: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Return how a server differs from what is desired, one line each; what nobody described is no difference.

    ``desired`` has ``roles`` (names), ``members``, ``databases``, ``guests``, ``migrators`` and ``grants`` as the role's variables name them,
    ``server`` is the answer to ``server_query``, ``databases`` has those to ``DATABASE_QUERY`` by name. No password is in a line.
    """
    held: Mapping[str, Any] = server["databases"] or {}
    found = _roles(desired["roles"], passwords, server["roles"])
    members = {tuple(row) for row in server["members"]}
    for item in desired["members"]:
        found += [
            f"role {item['name']}: no member of {group}"
            for group in item["member_of"]
            if (item["name"], group) not in members
        ]
    for item in desired["databases"]:
        found += _database(item, held.get(item["name"]), databases.get(item["name"], {}))
    for item in desired["guests"]:
        acl = {tuple(row) for row in held.get(item["database"], {}).get("acl", [])}
        found += [f"database {item['database']}: PUBLIC may {right}" for who, right in sorted(acl) if not who]
        found += [
            f"database {item['database']}: {role} may not connect"
            for role in item["roles"]
            if (role, "CONNECT") not in acl
        ]
    acting = {tuple(row) for row in server["acting"]}
    for item in desired["migrators"]:
        if (item["database"], item["role"], f"role={item['owner']}") not in acting:
            found.append(f"role {item['role']}: does not act as {item['owner']} in {item['database']}")
    for item in desired["grants"]:
        found += _grant(item, databases.get(item["database"], {}))
    return found


def _roles(names: Collection[str], passwords: Mapping[str, str], held: Mapping[str, Any]) -> list[str]:
    found = []
    for name in names:
        role = held.get(name)
        if role is None:
            found.append(f"role {name}: missing")
            continue
        if role["login"] != (name in passwords):
            found.append(f"role {name}: {'may not' if name in passwords else 'may'} log in")
        found += [f"role {name}: has {power}" for power in _POWERS if role[power]]
        if name in passwords and not password_matches(passwords[name], role["password"] or ""):
            found.append(f"role {name}: another password")
    return found


def _database(item: Mapping[str, Any], held: Mapping[str, Any] | None, inside: Mapping[str, Any]) -> list[str]:
    name, locale = item["name"], item.get("locale") or "C.UTF-8"
    if held is None:
        return [f"database {name}: missing"]
    wanted = {"owner": item["owner"], "encoding": "UTF8", "collate": locale, "ctype": locale}
    found = [f"database {name}: {key} is {held[key]}" for key, value in wanted.items() if held[key] != value]
    there = inside.get("extensions", [])
    return found + [f"database {name}: no extension {one}" for one in item.get("extensions") or [] if one not in there]


def _grant(item: Mapping[str, Any], inside: Mapping[str, Any]) -> list[str]:
    database, kind = item["database"], item["kind"]
    roles, privileges = item["roles"].split(","), item["privileges"].split(",")
    found = []
    for relation in inside.get("relations", []):
        acl = {tuple(row) for row in relation["acl"]}
        if relation["kind"] == kind and not {(role, right) for role in roles for right in privileges} <= acl:
            found.append(f"{kind} {relation['name']} of {database}: not all privileges of {item['roles']}")
    defaults = {tuple(row) for row in inside.get("defaults", [])}
    if not {(item["owner"], _KINDS[kind], role, right) for role in roles for right in privileges} <= defaults:
        found.append(f"{kind}s of {database} still to be made: not all privileges of {item['roles']}")
    return found


def password_matches(password: str, verifier: str) -> bool:
    """Return whether a stored verifier is of this password: https://www.postgresql.org/docs/17/catalog-pg-authid.html.

    Only what needs no SASLprep is compared; any other password counts as another one, and is set again.
    """
    match = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)", verifier)
    if not match or not (password.isascii() and password.isprintable()):
        return False
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(match[2]), int(match[1]))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return hmac.compare_digest(stored, base64.b64decode(match[3]))


def certificate_names(text: str) -> set[str]:
    """Return the names and addresses a certificate is for, from ``openssl x509 -ext subjectAltName``."""
    found = set()
    for kind, value in re.findall(r"(DNS|IP Address):([^,\s]+)", text):
        found.add(str(ipaddress.ip_address(value)) if kind == "IP Address" else value)
    return found


def plain_names(names: Collection[str]) -> set[str]:
    """Return names and addresses as ``certificate_names`` writes them."""
    found = set()
    for name in names:
        try:
            found.add(str(ipaddress.ip_address(name)))
        except ValueError:
            found.add(name)
    return found
