# SPDX-License-Identifier: Apache-2.0
"""Postgres: who gets in from where, and what is in no log."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

Shell = Callable[[str], str]


def sql(host: Any, query: str) -> str:
    return str(host.check_output(f"su postgres -c {shlex.quote('psql -XAt -c ' + shlex.quote(query))}"))


def asking(
    address: str,
    password: str,
    query: str = "select current_user",
    user: str = "marketplace",
    database: str = "marketplace",
) -> str:
    """A script that asks as an app on the host would: over TCP, from an address of the host itself."""
    return (
        f"export PGPASSWORD={password} PGCONNECT_TIMEOUT=5; "
        f"psql -XAtw -h {address} -U {user} {database} -c {shlex.quote(query)}"
    )


def test_runs_now_and_at_boot(host: Any) -> None:
    assert host.service("postgresql").is_enabled
    assert host.run("pg_lsclusters --no-header").stdout.split()[3] == "online"


def test_listens_on_localhost_and_the_private_address_only(host: Any, address: str) -> None:
    listening = {line.split()[3].rsplit(":", 1)[0] for line in host.check_output("ss -Hltn sport = :5432").splitlines()}
    assert address in listening
    assert listening <= {address, "127.0.0.1", "[::1]"}


def test_an_app_gets_in(shell: Shell, address: str, secrets: dict[str, str]) -> None:
    assert shell(asking(address, secrets["vault_postgres_app_password"])) == "marketplace\n"


def test_an_app_may_make_its_tables_and_nothing_more(
    host: Any, shell: Shell, address: str, secrets: dict[str, str]
) -> None:
    password = secrets["vault_postgres_app_password"]
    assert shell(asking(address, password, "select has_schema_privilege('public', 'CREATE')")) == "t\n"
    powers = "rolsuper or rolcreatedb or rolcreaterole or rolreplication"
    assert sql(host, f"select {powers} from pg_roles where rolname = 'marketplace'") == "f"


def test_a_wrong_password_does_not(shell: Shell, address: str) -> None:
    assert "password authentication failed" in shell(asking(address, "wrong"))


def test_another_address_does_not(address: str, startup_answer: Callable[[str, str, str], str]) -> None:
    # The controller's address is no app host's.
    assert "no pg_hba.conf entry" in startup_answer(address, "marketplace", "marketplace")


@pytest.mark.parametrize(
    ("user", "database"), [("marketplace", "postgres"), ("postgres", "postgres"), ("postgres", "marketplace")]
)
def test_another_database_and_the_superuser_do_not(shell: Shell, address: str, user: str, database: str) -> None:
    assert "no pg_hba.conf entry" in shell(asking(address, "x", user=user, database=database))


def test_every_rule_is_understood(host: Any) -> None:
    assert sql(host, "select count(*) from pg_hba_file_rules where error is not null") == "0"
    assert sql(host, "select count(*) from pg_hba_file_rules where auth_method not in ('peer', 'scram-sha-256')") == "0"


def test_containers_beside_the_database_get_in(host: Any) -> None:
    assert (
        sql(host, "select count(*) from pg_hba_file_rules where address = '172.20.0.0' and netmask = '255.252.0.0'")
        == "1"
    )


def test_passwords_are_kept_as_scram(host: Any) -> None:
    assert sql(host, "select left(rolpassword, 13) from pg_authid where rolname = 'marketplace'") == "SCRAM-SHA-256"


def test_text_is_utf8(host: Any) -> None:
    assert sql(host, "select pg_encoding_to_char(encoding) from pg_database where datname = 'marketplace'") == "UTF8"
