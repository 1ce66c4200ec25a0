# SPDX-License-Identifier: Apache-2.0
"""How a server's roles, databases and privileges differ from what is desired."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.postgres import state

# RFC 7677's example: user, password "pencil", iterations 4096.
VERIFIER = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
DESIRED: dict[str, Any] = {
    "roles": ["owner", "app"],
    "members": [{"name": "app", "member_of": ["pg_monitor"]}],
    "databases": [{"name": "shop", "owner": "owner", "extensions": ["pg_trgm"]}],
    "guests": [{"database": "shop", "owner": "owner", "roles": ["app"]}],
    "migrators": [{"database": "shop", "owner": "owner", "role": "app"}],
    "grants": [
        {
            "database": "shop",
            "owner": "owner",
            "roles": "app",
            "kind": "table",
            "objects": "TABLES",
            "privileges": "SELECT,INSERT",
        },
        {
            "database": "shop",
            "owner": "owner",
            "roles": "app",
            "kind": "sequence",
            "objects": "SEQUENCES",
            "privileges": "USAGE",
        },
    ],
}
NONE = {"super": False, "createdb": False, "createrole": False, "replication": False, "bypassrls": False}
SERVER: dict[str, Any] = {
    "roles": {
        "owner": {"login": False, "password": None, **NONE},
        "app": {"login": True, "password": VERIFIER, **NONE},
        "postgres": {"login": True, "password": None, **NONE, "super": True},
    },
    "members": [["app", "pg_monitor"]],
    "databases": {
        "shop": {
            "owner": "owner",
            "encoding": "UTF8",
            "collate": "C.UTF-8",
            "ctype": "C.UTF-8",
            "acl": [["owner", "CONNECT"], ["app", "CONNECT"]],
        },
        "other": {"owner": "postgres", "encoding": "LATIN1", "collate": "C", "ctype": "C", "acl": [["", "CONNECT"]]},
    },
    "acting": [["shop", "app", "role=owner"]],
}
INSIDE: dict[str, Any] = {
    "shop": {
        "extensions": ["plpgsql", "pg_trgm"],
        "relations": [
            {"name": "orders", "kind": "table", "acl": [["app", "SELECT"], ["app", "INSERT"], ["owner", "SELECT"]]},
            {"name": "orders_id", "kind": "sequence", "acl": [["app", "USAGE"]]},
        ],
        "defaults": [
            ["owner", "r", "app", "SELECT"],
            ["owner", "r", "app", "INSERT"],
            ["owner", "S", "app", "USAGE"],
        ],
    }
}


def found(server: Any = SERVER, inside: Any = INSIDE, password: str = "pencil") -> list[str]:
    return state.differences(DESIRED, {"app": password}, server, inside)


def test_a_server_that_is_as_desired_has_none() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("roles", "app", "login"), False, "role app: may not log in"),
        (("roles", "owner", "login"), True, "role owner: may log in"),
        (("roles", "app", "super"), True, "role app: has super"),
        (("roles", "app", "replication"), True, "role app: has replication"),
        (("roles", "app", "password"), None, "role app: another password"),
        (("roles", "app", "password"), "md5abc", "role app: another password"),
        (("members",), [], "role app: no member of pg_monitor"),
        (("databases", "shop", "owner"), "postgres", "database shop: owner is postgres"),
        (("databases", "shop", "encoding"), "LATIN1", "database shop: encoding is LATIN1"),
        (("databases", "shop", "ctype"), "C", "database shop: ctype is C"),
        (
            ("databases", "shop", "acl"),
            [["", "TEMPORARY"], ["app", "CONNECT"]],
            "database shop: PUBLIC may TEMPORARY",
        ),
        (("databases", "shop", "acl"), [], "database shop: app may not connect"),
        (("acting",), [], "role app: does not act as owner in shop"),
    ],
)
def test_each_thing_that_differs_is_found(path: tuple[str, ...], value: Any, line: str) -> None:
    server = copy.deepcopy(SERVER)
    part = server
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert found(server) == [line]


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("extensions", [], "database shop: no extension pg_trgm"),
        (
            "relations",
            [{"name": "orders", "kind": "table", "acl": [["app", "SELECT"]]}],
            "table orders of shop: not all privileges of app",
        ),
        (
            "relations",
            [{"name": "orders_id", "kind": "sequence", "acl": []}],
            "sequence orders_id of shop: not all privileges of app",
        ),
        (
            "defaults",
            [["owner", "r", "app", "SELECT"], ["owner", "r", "app", "INSERT"]],
            "sequences of shop still to be made: not all privileges of app",
        ),
    ],
)
def test_each_thing_inside_a_database_is_found(key: str, value: Any, line: str) -> None:
    assert found(inside={"shop": {**INSIDE["shop"], key: value}}) == [line]


def test_what_is_missing_is_found() -> None:
    empty = {"roles": {}, "members": [], "databases": {}, "acting": []}
    assert {"role owner: missing", "role app: missing", "database shop: missing"} <= set(found(empty, {}))


def test_a_password_is_compared_and_is_in_no_line() -> None:
    assert found(password="chalk") == ["role app: another password"]
    assert state.password_matches("pencil", VERIFIER)
    assert not state.password_matches("pencil ", VERIFIER)
    assert not state.password_matches("péncil", VERIFIER)  # would need SASLprep: set again


def test_a_name_cannot_leave_its_literal() -> None:
    assert state.quoted(["o'; drop table x"]) == """'["o''; drop table x"]'"""
    assert "o''; drop" in state.server_query(["/etc/o'; drop"])


def test_a_certificates_names_are_compared_as_addresses() -> None:
    text = "    DNS:db1, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:10.213.7.31\n"
    assert state.certificate_names(text) == state.plain_names(["db1", "localhost", "127.0.0.1", "::1", "10.213.7.31"])
    assert state.certificate_names(text) != state.plain_names(["db1", "localhost", "127.0.0.1", "::1"])
