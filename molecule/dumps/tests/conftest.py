# SPDX-License-Identifier: Apache-2.0
"""Hosts of the scenario from outside, and the object store as its owner sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import scenario


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
