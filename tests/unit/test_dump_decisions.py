# SPDX-License-Identifier: Apache-2.0
"""Dumps: which one is gone back to, the SQL around them, and which cluster may add to a history; with no server and no store."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Snapshot
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import Refused, Target, target
from ansible_collections.sluice.stack.plugins.module_utils.dump import make as dump_make
from ansible_collections.sluice.stack.plugins.module_utils.dump import restore as dump_restore
from ansible_collections.sluice.stack.plugins.module_utils.dump import sql as dump_sql
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store

NOW = 1_800_000_000.0
RELEASE = "20261123T100000Z-v1.4.2"
LATEST = Target("latest", "", None)


def dump(name: str, ended: float, release: str = "", system: int = 7) -> Backup:
    return Backup(name[:8], "full", ended - 5, ended, 2**20, 2**19, "", system, name, "/staging/dump", release=release)


OLD, POINT, NEW = dump("aaaaaaaaaa", NOW - 300), dump("bbbbbbbbbb", NOW - 200, RELEASE), dump("cccccccccc", NOW - 100)
STORE = Repository("store", 1, None, (OLD, POINT, NEW))
DOWN = Repository("store", 1, Failure("unreachable", "the object store does not answer"), ())
EMPTY = Repository("store", 1, None, ())


def snapshot(item: Backup, *more: str) -> Snapshot:
    return Snapshot(item.id, item.ended + 1, "dump", item.path, None, (*dump_store.tags(item), *more))


# what is kept


def test_what_a_dump_is_of_comes_back_from_its_tags() -> None:
    found = dump_store.dumps([snapshot(NEW), snapshot(POINT), snapshot(OLD)])
    assert found == (OLD, POINT, NEW)
    assert dump_store.tags(POINT)[0] == "release" and dump_store.tags(NEW)[0] == "dump"
    assert not any("," in tag for tag in dump_store.tags(POINT)), "a comma parts tags"


@pytest.mark.parametrize(
    "tags", [(), ("dump",), ("dump", "begun=yesterday", "ended=1", "bytes=1", "size=1", "system=1")]
)
def test_what_has_not_all_of_a_dumps_tags_is_none(tags: tuple[str, ...]) -> None:
    assert dump_store.dumps([Snapshot("dd", 1.0, "x", "/", None, tags)]) == ()


# which dump


def choose(
    monkeypatch: pytest.MonkeyPatch, stores: list[Repository], wanted: Target, name: str = ""
) -> tuple[Repository, Backup]:
    monkeypatch.setattr(dump_store, "repositories", lambda _: stores)
    return dump_store.choose({}, wanted, name)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (LATEST, NEW),
        (Target("point", RELEASE, None), POINT),
        (Target("time", "", NOW - 100), NEW),
        # One that was still under way at that moment may have what came after it.
        (Target("time", "", NOW - 101), POINT),
        (Target("time", "", NOW - 250), OLD),
    ],
)
def test_the_dump_to_restore(monkeypatch: pytest.MonkeyPatch, wanted: Target, found: Backup) -> None:
    assert choose(monkeypatch, [STORE], wanted)[1] == found


def test_the_first_store_that_has_it_or_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    other = STORE._replace(name="local", backups=(OLD,))
    assert choose(monkeypatch, [DOWN, other], LATEST)[0].name == "local"
    assert choose(monkeypatch, [STORE, other], LATEST, "local")[1] == OLD


@pytest.mark.parametrize(
    ("stores", "wanted", "name", "said"),
    [
        (
            [STORE],
            Target("time", "", NOW - 400),
            "",
            "there is no dump of 2027-01-15 07:53:20 UTC or before: store: its oldest backup is of",
        ),
        (
            [STORE],
            Target("point", "20260101T000000Z-v0", None),
            "",
            "there is no dump made before release 20260101T000000Z-v0: store: its oldest backup is of",
        ),
        ([DOWN], LATEST, "", "store: the object store does not answer"),
        ([EMPTY], LATEST, "", "there is no dump: store: it holds no backup"),
        ([STORE], LATEST, "moon", "there is no repository moon; there are store"),
    ],
)
def test_why_there_is_none(
    monkeypatch: pytest.MonkeyPatch, stores: list[Repository], wanted: Target, name: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        choose(monkeypatch, stores, wanted, name)


def test_a_time_to_come_is_no_time_to_go_back_to() -> None:
    with pytest.raises(Refused, match="in the future"):
        target("2100-01-01T00:00:00Z", "", NOW)


# whose history


@pytest.mark.parametrize(
    ("system", "restored", "is_foreign"),
    [
        (7, None, False),
        (8, None, True),
        (8, {"new_system_id": 8, "begun": NOW}, False),
        # It went back once, and the history has gone on elsewhere since.
        (8, {"new_system_id": 8, "begun": NOW - 1000}, True),
        # A restore that was killed before the databases were exchanged.
        (8, {"new_system_id": 0, "begun": NOW}, True),
    ],
)
def test_a_cluster_adds_to_its_own_history_alone(system: int, restored: Any, is_foreign: bool) -> None:
    assert dump_make.foreign(NEW, system, restored) is is_foreign


# the exchange

MADE = {"id": "0123456789", "current": {"shop": 16384, "new": None}}


def test_what_was_there_is_kept_and_goes_back() -> None:
    there = {"shop": "live", "new_restored_0123456789": "restored new", "shop_restored_0123456789": "restored"}
    after = renamed(there, dump_restore.moves(MADE))
    assert after == {"shop": "restored", "shop_before_0123456789": "live", "new": "restored new"}
    assert renamed(after, dump_restore.moves_back(MADE)) == {
        "shop": "live",
        "shop_left_0123456789": "restored",
        "new_left_0123456789": "restored new",
    }


def renamed(databases: dict[str, str], moves: list[tuple[str, str]]) -> dict[str, str]:
    """Databases after renames, as a server does them: the old name has to be there, the new one must not."""
    found = dict(databases)
    for old, new in moves:
        assert old in found and new not in found, (old, new)
        found[new] = found.pop(old)
    return found


def test_names_that_postgres_would_cut_are_cut_before() -> None:
    for name in ("x" * 63, "ü" * 31):
        beside = dump_sql.alongside(name, "restored", "0123456789")
        assert len(beside.encode()) <= 63 and beside.endswith("_restored_0123456789")


def test_one_transaction_or_nothing() -> None:
    text = dump_sql.exchange([('we"ird', "b")], "GRANT CONNECT ON DATABASE b TO shop;")
    assert text.splitlines() == [
        "begin;",
        'alter database "we""ird" rename to "b";',
        "GRANT CONNECT ON DATABASE b TO shop;",
        "commit;",
    ]
    assert "where datname in ('it''s', 'b')" in dump_sql.end_sessions(["it's", "b"])


@pytest.mark.parametrize(
    ("provider", "locale", "said"),
    [
        ("c", None, "locale_provider libc lc_collate"),
        ("i", "de", "lc_ctype 'C' icu_locale 'de'"),
        ("b", "C.UTF-8", "builtin_locale 'C.UTF-8'"),
    ],
)
def test_a_database_is_made_as_it_was(provider: str, locale: str | None, said: str) -> None:
    database = {"owner": "o", "encoding": "UTF8", "provider": provider, "collate": "C", "ctype": "C", "locale": locale}
    made = dump_sql.create(database, "shop_restored_0")
    assert (
        made.startswith('create database "shop_restored_0" template template0 owner "o" encoding \'UTF8\'')
        and said in made
    )


# what belongs to the database itself: recorded from pg_restore 15.18

LISTING = """;
; Selected TOC Entries:
;
3391; 1262 16386 DATABASE - shop shop
3392; 0 0 COMMENT - DATABASE shop shop
3393; 0 0 ACL - DATABASE shop shop
3394; 0 0 DATABASE PROPERTIES - shop shop
3395; 0 0 COMMENT - EXTENSION pgcrypto
215; 1259 16396 TABLE public orders shop
"""
SCRIPT = r"""--
-- PostgreSQL database dump
--

\restrict 7WKG

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: shop; Type: DATABASE; Schema: -; Owner: shop
--

CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8';


ALTER DATABASE shop OWNER TO shop;

\unrestrict 7WKG
\connect shop
\restrict 7WKG

SET statement_timeout = 0;

--
-- Name: DATABASE shop; Type: COMMENT; Schema: -; Owner: shop
--

COMMENT ON DATABASE shop IS 'it''s
\connect template1

-- Name: x; Type: DATABASE; Schema: -; Owner: y
here';


--
-- Name: DATABASE shop; Type: ACL; Schema: -; Owner: shop
--

REVOKE CONNECT,TEMPORARY ON DATABASE shop FROM PUBLIC;


\unrestrict 7WKG
\connect shop
\restrict 7WKG

SET client_encoding = 'UTF8';

--
-- PostgreSQL database dump complete
--
"""


def test_the_entries_about_the_database_itself() -> None:
    assert [line.split(";")[0] for line in dump_sql.of_database(LISTING).splitlines()] == ["3392", "3393", "3394"]


def test_their_statements_without_the_way_there() -> None:
    assert dump_sql.statements(SCRIPT).splitlines() == [
        "COMMENT ON DATABASE shop IS 'it''s",
        "\\connect template1",
        "",
        "-- Name: x; Type: DATABASE; Schema: -; Owner: y",
        "here';",
        "REVOKE CONNECT,TEMPORARY ON DATABASE shop FROM PUBLIC;",
    ]


# the roles: recorded from pg_dumpall 17.6

GLOBALS = """SET default_transaction_read_only = off;
CREATE ROLE "odd ""role";
ALTER ROLE "odd ""role" WITH NOSUPERUSER NOLOGIN;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER LOGIN;
CREATE ROLE shop;
ALTER ROLE shop WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:x';
ALTER ROLE shop SET work_mem TO '8MB';
GRANT "odd ""role" TO shop WITH INHERIT TRUE GRANTED BY postgres;
GRANT pg_monitor TO postgres GRANTED BY postgres;
"""


def test_only_the_roles_that_are_missing_are_made() -> None:
    found = dump_sql.missing_roles(GLOBALS, ["postgres", "shop"])
    assert (found.made, found.kept) == (['odd "role'], ["postgres", "shop"])
    assert found.statements.splitlines() == [
        'CREATE ROLE "odd ""role";',
        'ALTER ROLE "odd ""role" WITH NOSUPERUSER NOLOGIN;',
        'GRANT "odd ""role" TO shop WITH INHERIT TRUE GRANTED BY postgres;',
    ]


def test_nothing_is_changed_where_all_roles_are_there() -> None:
    assert dump_sql.missing_roles(GLOBALS, ["postgres", "shop", 'odd "role']) == (
        "",
        [],
        ['odd "role', "postgres", "shop"],
    )


def test_a_fresh_server_gets_them_with_their_passwords() -> None:
    found = dump_sql.missing_roles(GLOBALS, ["postgres"])
    assert (
        found.made == ['odd "role', "shop"]
        and "SCRAM-SHA-256" in found.statements
        and "ALTER ROLE shop SET" in found.statements
    )
    assert "pg_monitor" not in found.statements


def test_a_plan_for_people_says_what_goes_and_what_stays() -> None:
    made: dict[str, Any] = {
        **MADE,
        "summary": "the newest dump",
        "repository": "store",
        "snapshot": "cccccccccc",
        "begun": NOW,
        "release": "",
        "size": 2**20,
        "host": "db1",
        "moves": dump_restore.moves(MADE),
        "unchanged": ["other"],
        "space": [{"folder": "/var/lib/postgresql", "needed": 2**30, "free": 2**31}],
        "lost": "all changes of the last 5.0 minutes",
    }
    text = "\n".join(dump_restore.described(json.loads(json.dumps(made))))
    for part in (
        "shop is kept as shop_before_0123456789",
        "other is not in the dump",
        "lost      all changes of the last 5.0",
        "confirm   0123456789",
    ):
        assert part in text
    assert "new is kept" not in text
