# SPDX-License-Identifier: Apache-2.0
"""Who may do what, asked with real SQL over the network as each of the roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

Ask = Callable[..., str]


@pytest.fixture
def table(client: Ask, sql: Ask) -> Iterator[str]:
    """A table the migrator made just now, as a migration would."""
    assert client("shop_migrator", "create table probe (id serial primary key, word text)") == ""
    yield "probe"
    client("shop_migrator", "drop table if exists probe, probe_more; drop schema if exists probes cascade")
    assert sql("db1", "select count(*) from pg_tables where tablename like 'probe%'", "shop") == "0"


def test_what_the_migrator_makes_is_the_owners(sql: Ask, table: str) -> None:
    assert sql("db1", f"select tableowner from pg_tables where tablename = '{table}'", "shop") == "shop_owner"


def test_the_app_reads_and_writes_a_table_that_was_just_made(client: Ask, table: str) -> None:
    assert client("shop_app", f"insert into {table} (word) values ('one') returning id") == "1"
    assert client("shop_app", f"update {table} set word = 'two' returning word") == "two"
    assert client("shop_app", f"select word from {table}") == "two"
    assert client("shop_app", f"delete from {table} returning id") == "1"


@pytest.mark.parametrize(
    "statement",
    [
        "create table probe_more (id int)",
        "alter table probe add column more int",
        "drop table probe",
        "truncate probe",
        "create schema probes",
        "create temporary table probe_more (id int)",
        "grant select on probe to public",
        "set role shop_owner",
        "create role probe_role",
    ],
)
def test_the_app_changes_no_table(client: Ask, table: str, statement: str) -> None:
    said = client("shop_app", statement)
    assert "permission denied" in said or "must be owner" in said or "no privileges were granted" in said


def test_the_reader_reads(client: Ask, table: str) -> None:
    client("shop_app", f"insert into {table} (word) values ('one')")
    assert client("shop_reader", f"select word from {table}") == "one"


@pytest.mark.parametrize(
    "statement", ["insert into probe (word) values ('x')", "delete from probe", "create table x ()"]
)
def test_the_reader_writes_nothing(client: Ask, table: str, statement: str) -> None:
    assert "permission denied" in client("shop_reader", statement)


def test_the_migrator_changes_tables(client: Ask, table: str) -> None:
    assert client("shop_migrator", f"alter table {table} add column more int; create schema probes") == ""


def test_the_owner_does_not_log_in(sql: Ask) -> None:
    assert sql("db1", "select rolcanlogin from pg_roles where rolname = 'shop_owner'") == "f"


def test_the_exporter_sees_the_server_and_no_row(client: Ask, table: str) -> None:
    how = "sslmode=require"
    assert client("exporter", "select count(*) > 0 from pg_stat_activity where query <> ''", how, "postgres") == "t"
    assert (
        client("exporter", "select count(*) from pg_stat_replication where state is not null", how, "postgres") == "1"
    )
    assert "pg_hba.conf" in client("exporter", "select 1", how, "marketplace")
    assert "denied" in client("exporter", f"select * from {table}", how)


def test_extensions_are_there(sql: Ask) -> None:
    assert sql("db1", "select count(*) from pg_extension where extname = 'pg_trgm'", "shop") == "1"


def test_one_role_for_everything_goes_on_as_before(client: Ask) -> None:
    statement = "create table probe (id int); insert into probe values (1); drop table probe; select 1"
    assert client("marketplace", statement, "sslmode=disable", "marketplace") == "1"


def test_no_role_is_more_than_it_has_to_be(sql: Ask) -> None:
    powers = "rolsuper or rolcreatedb or rolcreaterole or rolbypassrls"
    assert sql("db1", f"select string_agg(rolname, ',') from pg_roles where {powers}") == "postgres"
    assert sql("db1", "select string_agg(rolname, ',' order by rolname) from pg_roles where rolreplication") == (
        "postgres,sluice_replication"
    )
