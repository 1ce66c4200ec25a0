# SPDX-License-Identifier: Apache-2.0
"""Sessions of the superuser find the server's own functions alone, and what others wrote runs in sessions of others.

See also tests/e2e/test_preview_database.py.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as backup_host
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done, HostError, Login
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import row_diff
from ansible_collections.sluice.stack.plugins.module_utils.postgres import host as postgres_host
from ansible_collections.sluice.stack.plugins.module_utils.previews import database, tables
from ansible_collections.sluice.stack.plugins.module_utils.previews.tables import NoTable

ROLE = Path(__file__).resolve().parents[2] / "roles" / "postgres"
HOST = {"socket": "/run", "port": 5432, "version": "17", "drill_seconds": 1, "drill_max_rpo_seconds": 1}
LISTING = [
    {"schema": "public", "name": "Event", "id": 1, "parents": []},
    {"schema": "public", "name": "event_1", "id": 2, "parents": [1]},
    {"schema": "public", "name": "event_1_a", "id": 3, "parents": [2]},
    {"schema": "app", "name": "log", "id": 4, "parents": []},
    {"schema": "public", "name": "log", "id": 5, "parents": []},
    {"schema": "public", "name": 'we"ird.$', "id": 6, "parents": []},
]


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user that is the cluster's already."""
    monkeypatch.setattr(backup_host.os, "geteuid", lambda: 1000)


def test_the_superuser_looks_nowhere_else(unprivileged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    show = ["sh", "-c", 'echo "$PGUSER $PGPASSWORD $PGOPTIONS"']
    assert backup_host.as_postgres(show).out == "  -c search_path=pg_catalog\n"
    monkeypatch.setattr(backup_host, "_psql", lambda *_: show)
    assert backup_host.sql(HOST, "select 1") == "-c search_path=pg_catalog"
    with backup_host.rows(HOST, "copy", "shop", {"timezone": "UTC", "search_path": "public"}) as lines:
        assert list(lines) == ["  -c timezone=UTC -c search_path=pg_catalog\n"]


def test_another_role_has_the_databases_own_path(unprivileged: None) -> None:
    login = Login("shop_new", "word", {"row_security": "off"})
    done = backup_host.as_postgres(["sh", "-c", 'echo "$PGUSER $PGPASSWORD $PGOPTIONS"'], login=login)
    assert done.out == "shop_new word -c row_security=off\n"


def test_the_role_postgres_looks_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def run(*_: Any, env: dict[str, str], **__: Any) -> subprocess.CompletedProcess[str]:
        seen.append(env["PGOPTIONS"])
        return subprocess.CompletedProcess([], 0, "1", "")

    monkeypatch.setattr(postgres_host.subprocess, "run", run)
    postgres_host.ask("select 1", "shop", 5432)
    assert seen == ["-c statement_timeout=20s -c search_path=pg_catalog"]
    (tasks,) = yaml.safe_load((ROLE / "tasks" / "privileges.yml").read_text())
    assert "-c search_path=pg_catalog" in tasks["environment"]["PGOPTIONS"]


def test_rows_are_read_from_tables_alone() -> None:
    assert row_diff.SETTINGS["restrict_nonsystem_relation_kind"] == "view"


def test_the_rule_for_copies_comes_before_the_one_for_users_of_the_system() -> None:
    rules = (ROLE / "templates" / "pg_hba.conf.j2").read_text()
    first, own, others = (
        rules.index(line)
        for line in (
            "local   all       postgres       peer",
            'local   "{{ group }}_new"  "{{ group }}_new"  scram-sha-256',
            "local   all       all            peer",
        )
    )
    assert first < own < others


def test_a_drills_checks_run_as_a_role_without_power(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, Login | None]] = []

    def sql(_: Any, query: str, name: str = "postgres", seconds: float = 0, login: Login | None = None) -> str:
        asked.append((query, name, login))
        return "t"

    monkeypatch.setattr(drill, "sql", sql)
    monkeypatch.setattr(drill, "last_heartbeat", lambda _: 0.0)
    monkeypatch.setattr(drill, "as_postgres", lambda *_, **__: Done(0, "", ""))
    checks = [{"name": "orders", "database": "shop", "query": "select true from orders"}]
    drill.check({**HOST, "drill_checks": checks}, {"checks": []}, 0.0, "x")
    (login,) = [login for query, name, login in asked if query == checks[0]["query"] and name == "shop"]
    assert login is not None and login.user == scratch.CHECKER
    made = next(query for query, _name, _login in asked if "create role" in query)
    assert "superuser" not in made and login.password not in made and "'SCRAM-SHA-256$" in made


class Server:
    """Notes who asked what where, and knows one database with one table."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Login | None]] = []
        self.fails = ""
        self.rows = "[]"

    def sql(self, _: Any, query: str, name: str = "postgres", __: float = 0, login: Login | None = None) -> str:
        self.asked.append((query, name, login))
        if self.fails and self.fails in query:
            raise HostError("no")
        if "from pg_database d" in query:
            row = {"name": "shop", "owner": "shop", "bytes": 1, "encoding": "UTF8", "provider": "c", "locale": None}
            return str([{**row, "collate": "C", "ctype": "C"}]).replace("'", '"').replace("None", "null")
        if query == tables.TABLES:
            return str(LISTING[:3]).replace("'", '"')
        if "show data_directory" in query:
            return "/"
        return self.rows if "exists (select" in query else "{}" if "json_object_agg" in query else "[]"

    def run(self, argv: list[str], _: float, login: Login | None = None) -> Done:
        self.asked.append((" ".join(argv), "", login))
        return Done(0, "", "")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    found = Server()
    monkeypatch.setattr(database, "sql", found.sql)
    monkeypatch.setattr(database, "as_postgres", found.run)
    monkeypatch.setattr(database, "require_space", lambda *_: {})
    monkeypatch.setattr(database, "LOCK", str(tmp_path / "lock"))
    return found


def present(without: tuple[str, ...] = ()) -> None:
    database.present(
        database.Server(5432, "shop_preview"), "shop_preview_1", "a secret", "shop", "SCRUB", without, 7, False
    )


def test_what_was_copied_runs_as_a_role_without_power(server: Server) -> None:
    present(("Event",))
    (copy,) = (one for one in server.asked if "pg_restore" in one[0])
    (scrub,) = (one for one in server.asked if "SCRUB" in one[0])
    for _query, _name, login in (copy, scrub):
        assert login is not None and login.user == "shop_preview_new"
    assert "--username postgres" in copy[0], "who dumps is the superuser"
    assert '--exclude-table-data="public"."Event" --exclude-table-data="public"."event_1"' in copy[0]
    # Whose sessions these are, and which are the superuser's: what makes and removes, and nothing else.
    (made,) = (query for query, _name, login in server.asked if 'create role "shop_preview_new"' in query)
    assert "nosuperuser" in made and "bypassrls" in made and 'drop role "shop_preview_new"' in str(server.asked)
    assert scrub[0].index("SCRUB") < scrub[0].index("refresh materialized view") < scrub[0].index("commit;")


def test_no_password_is_in_sql(server: Server) -> None:
    present()
    queries = [query for query, _name, _login in server.asked if "password" in query]
    assert len(queries) == 2 and all("password 'SCRAM-SHA-256$" in query for query in queries)
    assert "a secret" not in str(queries)


def test_rows_that_came_along_are_no_copy(server: Server) -> None:
    server.rows = "[1]"
    with pytest.raises(HostError, match=r'the copy has rows of "public"\."event_1", so there is no copy'):
        present(("Event",))
    assert "rename to" not in str(server.asked)
    assert server.asked[-1][0].endswith('drop role if exists "shop_preview_new"')


def test_a_name_without_a_table_stops_before_anything(server: Server) -> None:
    with pytest.raises(HostError, match=r"app_preview.without has event: .* in database shop; nothing was copied"):
        present(("event",))
    assert "create" not in str(server.asked)


@pytest.mark.parametrize("used", ["soon", None, 10**12, -1, [1], {"a": 1}, float("inf"), float("nan")])
def test_what_a_preview_says_about_itself_keeps_nobody_from_removing_it(used: Any) -> None:
    class Noted(database.Server):
        def comments(self) -> dict[str, dict[str, Any]]:
            return {"shop_preview_1": {"used": used}, "shop_preview_2": {"used": 5.0}}

    assert database.previews(Noted(5432, "shop_preview")) == {1: 0.0, 2: 5.0}


def test_a_template_that_was_made_with_less_care_is_made_again() -> None:
    before = "7fa39d938a1f6c49"
    assert database.identity("shop", "delete from users", []) != before


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Event", [1, 2, 3]),
        ('"Event"', [1, 2, 3]),
        ('public."Event"', [1, 2, 3]),
        ("event_1", [2, 3]),
        ("app.log", [4]),
        ('"we""ird.$"', [6]),
    ],
)
def test_the_table_a_name_means(name: str, found: list[int]) -> None:
    assert [table.id for table in tables.left_out([name], LISTING)] == found


def test_names_for_pg_dump() -> None:
    assert [table.quoted for table in tables.left_out(["app.log", '"we""ird.$"'], LISTING)] == [
        '"app"."log"',
        '"public"."we""ird.$"',
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("event", 'event: there is no such table, but "public"."Event"'),
        ("log", 'log: there are "app"."log" and "public"."log"; write the schema too'),
        ("log*", r"log\*: there is no such table"),
        ("app.Event", 'no such table, but "public"."Event"'),
        ("a.b.c", "this is no name of a table"),
        ("", "this is no name of a table"),
    ],
)
def test_a_name_that_means_none(name: str, says: str) -> None:
    with pytest.raises(NoTable, match=says):
        tables.left_out([name], LISTING)
