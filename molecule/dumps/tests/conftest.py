# SPDX-License-Identifier: Apache-2.0
"""Hosts of the scenario from outside, and the object store as its owner sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import scenario

# Where a dump is written first.
STAGING = "/var/lib/postgresql/sluice-dump"


class Host(scenario.Host):
    """A database's host."""

    def fingerprint(self) -> str:
        """All rows of all tables of the databases that are backed up, and what belongs to the databases themselves."""
        found = {}
        for database in ("shop", "books"):
            tables = self.sql(
                "select oid::regclass from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1",
                database,
            )
            for table in tables.split():
                found[f"{database}.{table}"] = self.sql(
                    f"select md5(string_agg(t::text, ',' order by t::text)) from {table} t", database
                )
            found[database] = self.sql(
                # The order in which rights were given is no right.
                "select pg_get_userbyid(datdba), encoding, datcollate, (select array_agg(a::text order by a::text) from unnest(datacl) a), "
                "shobj_description(d.oid, 'pg_database'), setconfig "
                f"from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid where datname = '{database}'"
            )
        return json.dumps(found, indent=1)


@pytest.fixture(scope="session")
def db1() -> Host:
    return Host("db1")


@pytest.fixture(scope="session")
def db2() -> Host:
    return Host("db2")


@pytest.fixture(scope="session")
def store1() -> Host:
    return Host("store1")


@pytest.fixture(scope="session")
def store() -> Any:
    """The object store, as who owns its keys."""
    return scenario.store("10.213.67.41")


@pytest.fixture(scope="module", autouse=True)
def filled(db1: Host) -> None:
    """Databases with what a dump has to bring back: rows, owners, a role without a name of its own, settings, large values."""
    if db1.sql("select count(*) from pg_database where datname = 'books'", "postgres") == "0":
        db1.sql("create role reader", "postgres")
        db1.sql("create database books owner shop template template0 lc_collate 'C' lc_ctype 'C'", "postgres")
    db1.sql(
        "revoke connect on database books from public; grant connect on database books to shop, reader; alter database books set work_mem = '8MB'; "
        "comment on database books is 'it''s\n\\connect shop'",
        "postgres",
    )
    db1.sql(
        "drop table if exists pages; create table pages (id int primary key, body text); alter table pages owner to shop; grant select on pages to reader;"
        "insert into pages select n, repeat(md5(n::text), 100) from generate_series(1, 2000) n",
        "books",
    )
    db1.sql(
        "drop table if exists orders; create table orders (seq bigint primary key, at timestamptz default clock_timestamp()); "
        "create index on orders (at); insert into orders (seq) select generate_series(1, 500)"
    )


def drill(host: Host) -> tuple[int, str, str]:
    """Exit code, verdict and reason of a drill, as the host keeps them."""
    code, answer = host.backup("drill")
    kept = json.loads(host.must("cat /var/lib/sluice/backup/drill.json"))
    assert (kept["verdict"], kept["reason"]) == (answer["verdict"], answer["reason"])
    assert host.run("pgrep --full sluice-drill/data; ls -d /var/lib/postgresql/sluice-drill").stdout == "", (
        "nothing is left"
    )
    return code, answer["verdict"], answer["reason"]


def dumps(host: Host, repository: int = 0) -> list[dict[str, Any]]:
    """The dumps in a repository, oldest first."""
    found: list[dict[str, Any]] = host.backup("status")[1]["repositories"][repository]["backups"]
    return found
