# SPDX-License-Identifier: Apache-2.0
"""A database's URL, as libpq takes it: nothing is dropped unknowingly, and no message has a password."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.migration import url
from ansible_collections.sluice.stack.plugins.module_utils.migration.url import SYSTEM, UrlError, target, with_options

BASE = "postgresql://anna:hunter2@db.test:5433/shop"
ALWAYS = {"client_encoding": "UTF8", "connect_timeout": "10"}
PLAIN = {**ALWAYS, "user": "anna", "password": "hunter2", "host": "db.test", "port": "5433", "dbname": "shop"}


def more(query: str, prisma: bool = False) -> dict[str, str]:
    """What a query adds to the parameters of the URL without one."""
    found = target(f"{BASE}?{query}", prisma).parameters
    return {name: value for name, value in found.items() if PLAIN.get(name) != value}


def test_the_parts_of_a_url_are_libpqs_parameters() -> None:
    assert target(BASE).parameters == PLAIN
    found = target("postgres://an%40na:hunter%2F2@db.test/shop").parameters
    assert (found["user"], found["password"], found.get("port")) == ("an@na", "hunter/2", None)
    # Not escaped, and yet without doubt, as the apps' drivers read it.
    assert target("postgresql://anna:hun@ter@db.test/shop").parameters["password"] == "hun@ter"


def test_several_hosts_and_sockets_are_handed_on() -> None:
    found = target("postgresql://a:b@one:5432,[fd00::1],three:5434/shop?target_session_attrs=read-write").parameters
    assert (found["host"], found["port"]) == ("one,fd00::1,three", "5432,,5434")
    assert found["target_session_attrs"] == "read-write"
    assert target("postgresql://a@%2Frun%2Fpostgresql/shop").parameters["host"] == "/run/postgresql"
    assert target("postgresql:///shop?host=/run/postgresql&user=a").parameters["host"] == "/run/postgresql"


def test_a_text_shows_no_password() -> None:
    found = target(BASE)
    assert str(found) == "database 'shop' as 'anna'"
    assert "hunter2" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:secret@h/db",
        "secret",
        "postgresql://u:sec#ret@h:5432/db",
        "postgresql://u:sec/ret@h/db",
        "postgresql://u:12/secret@h/db",
        "postgresql://u:12?secret=x@h/db",
        "postgresql://u:p@h:secret/db",
        "postgresql://u:p@[secret/db",
    ],
)
def test_what_is_no_url_is_not_shown(text: str) -> None:
    with pytest.raises(UrlError, match="percent-encoded") as error:
        target(text)
    assert "sec" not in str(error.value)


def test_a_plus_sign_is_one_to_libpq() -> None:
    assert more("application_name=a+b%20c") == {"application_name": "a+b c"}


@pytest.mark.parametrize("query", ["schema", "sche ma=x", "Schema=x", "a;b=x"])
def test_what_is_no_parameter_is_refused_without_its_value(query: str) -> None:
    with pytest.raises(UrlError, match="not of the form name=value"):
        target(f"{BASE}?{query}")


def test_a_wait_without_an_end_gets_one() -> None:
    assert more("connect_timeout=0") == more("connect_timeout=-1") == more("connect_timeout=") == {}
    assert more("connect_timeout=3") == {"connect_timeout": "3"}


def test_what_pools_and_prisma_are_set_by_is_not_libpqs_business() -> None:
    query = "schema=s&connection_limit=5&pool_timeout=9&pgbouncer=true&socket_timeout=5&statement_cache_size=0"
    assert more(query) == more(query, prisma=True) == {}
    # An unknown one is left to libpq, which refuses it.
    assert more("conection_limit=5") == {"conection_limit": "5"}


@pytest.mark.parametrize("name", ["sslidentity", "passfile", "service", "sslcrldir"])
def test_what_cannot_be_honoured_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(UrlError, match=f"the URL has {name}, which is not supported here: ") as error:
        target(f"{BASE}?{name}=hunter3")
    assert "hunter" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "expected", "files"),
    [
        ("sslmode=require", {"sslmode": "require"}, ()),
        ("ssl=true", {"sslmode": "require"}, ()),
        (
            "sslmode=require&sslrootcert=/app/ca.pem",
            {"sslmode": "require", "sslrootcert": "/app/ca.pem"},
            ("sslrootcert",),
        ),
        ("sslmode=verify-ca", {"sslmode": "verify-ca"}, ()),
        # As the drivers do; libpq would look in the home of root.
        ("sslmode=verify-full", {"sslmode": "verify-full", "sslrootcert": SYSTEM}, ()),
        ("sslrootcert=system", {"sslmode": "verify-full", "sslrootcert": SYSTEM}, ()),
        # Somebody said so.
        ("sslmode=no-verify&sslrootcert=/app/ca.pem", {"sslmode": "require"}, ()),
        (
            "sslcert=/c&sslkey=/k&sslpassword=p",
            {"sslcert": "/c", "sslkey": "/k", "sslpassword": "p"},
            ("sslcert", "sslkey"),
        ),
    ],
)
def test_tls_is_what_the_url_says(query: str, expected: dict[str, str], files: tuple[str, ...]) -> None:
    assert more(query) == expected
    assert target(f"{BASE}?{query}").files == files


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslmode=require&sslcert=/app/ca.pem", {"sslmode": "require", "sslrootcert": "/app/ca.pem"}),
        ("sslcert=ca.pem", {"sslrootcert": "prisma/ca.pem"}),
        ("sslcert=/c&sslkey=/k", {"sslcert": "/c", "sslkey": "/k"}),
        ("sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": SYSTEM}),
        ("sslaccept=strict&sslcert=/ca", {"sslmode": "verify-full", "sslrootcert": "/ca"}),
        ("sslmode=require&sslaccept=accept_invalid_certs&sslcert=/ca", {"sslmode": "require"}),
    ],
)
def test_prismas_own_names_are_mapped(query: str, expected: dict[str, str]) -> None:
    assert more(query, prisma=True) == expected


def test_a_verification_that_verifies_less_than_it_says_is_refused() -> None:
    with pytest.raises(UrlError, match="sslrootcert=system with sslmode=require: use sslmode=verify-full"):
        target(f"{BASE}?sslmode=require&sslrootcert=system")


def test_a_connection_string_is_escaped() -> None:
    assert url.conninfo({"password": "a'b\\c d", "user": "u"}) == "password='a\\'b\\\\c d' user='u'"


def test_options_join_those_that_are_in_the_url() -> None:
    text = "postgresql://u:p%40@h/db?schema=s&options=-c%20search_path%3Dx"
    found = with_options(text, {"lock_timeout": "3s"})
    assert found == "postgresql://u:p%40@h/db?schema=s&options=-c%20search_path%3Dx%20-c%20lock_timeout%3D3s"
