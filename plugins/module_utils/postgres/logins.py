# SPDX-License-Identifier: Apache-2.0
"""Login roles that take turns: SQL that looks at them, makes one ready, lets it log in and takes that away. Pure.

A role has one password, so two that are valid at the same time need two roles. Both act as the role that owns the app's objects. The server gets
a verifier and never a password: neither a log nor pg_stat_activity can show one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from typing import Any

# As Postgres makes them: scram_iterations, and the length of a salt.
ITERATIONS, SALT_BYTES = 4096, 16
# Locks of transactions: two rotations at the same time take turns.
_LOCK = "select pg_advisory_xact_lock(hashtext('sluice rotation'))"


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return what Postgres stores for a password: https://www.postgresql.org/docs/17/catalog-pg-authid.html.

    The password must be printable ASCII: anything else would need SASLprep.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def identifier(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def look(names: Collection[str]) -> str:
    """Return the query for what is known of some roles; the answer is one JSON object.

    A connection counts for the role that logged in, whatever role it acts as.
    """
    listed = literal(json.dumps(sorted(names)))
    return f"""select json_build_object(
'standby', pg_is_in_recovery(),
'roles', (select coalesce(json_object_agg(rolname, json_build_object('login', rolcanlogin, 'verifier', coalesce(rolpassword, ''))), '{{}}')
  from pg_authid where rolname in (select json_array_elements_text({listed}))),
'connections', (select coalesce(json_agg(json_build_object('role', usename, 'from', coalesce(host(client_addr), 'the host itself'),
  'program', application_name, 'since', backend_start)), '[]')
  from pg_stat_activity where usename in (select json_array_elements_text({listed}))))"""  # noqa: S608 - quoted


def prepare(name: str, group: str, database: str, password: str, expected: str) -> str:
    """Return the SQL that makes a role ready which cannot log in yet: new password, member of ``group``, and acting as it.

    ``password`` is a verifier, ``expected`` the one that was seen before: another run that is at it, too, is noticed. Fails for a role that
    logs in: somebody may be using it.
    """
    role, owner = identifier(name), identifier(group)
    return f"""begin; {_LOCK};
do $do$ declare held record; begin
  select rolcanlogin, coalesce(rolpassword, '') as verifier into held from pg_authid where rolname = {literal(name)};
  if not found then
    create role {role} nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
  elsif held.rolcanlogin or held.verifier <> {literal(expected)} then
    raise exception 'another rotation is using role {name}';
  end if;
end $do$;
alter role {role} password {literal(password)};
grant {owner} to {role};
alter role {role} in database {identifier(database)} set role to {owner};
commit; select 'true';"""  # noqa: S608 - quoted


def enable(name: str) -> str:
    """Return the SQL that lets a role log in."""
    return f"begin; {_LOCK}; alter role {identifier(name)} login; commit; select 'true';"


def revoke(names: Collection[str]) -> str:
    """Return the SQL that ends roles' logins: no new connection, no password, and open connections are closed."""
    roles = "; ".join(f"alter role {identifier(name)} nologin password null" for name in sorted(names))
    listed = literal(json.dumps(sorted(names)))
    return f"""begin; {_LOCK}; {roles}; commit;
select to_json(count(pg_terminate_backend(pid))) from pg_stat_activity where usename in (select json_array_elements_text({listed}));"""  # noqa: S608 - quoted


def in_use(answer: Mapping[str, Any], names: Collection[str]) -> list[str]:
    """Return who is connected as one of some roles, a line for each place and program."""
    found: dict[str, int] = {}
    for one in answer["connections"]:
        if one["role"] in names:
            what = f"{one['role']} from {one['from']}" + (f" ({one['program']})" if one["program"] else "")
            found[what] = found.get(what, 0) + 1
    return [f"{what}: {count} {'connection' if count == 1 else 'connections'}" for what, count in sorted(found.items())]
