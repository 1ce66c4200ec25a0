# SPDX-License-Identifier: Apache-2.0
"""A run that loses the app while its migration is in the database lets the statement end, records it, and begins no other."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.migration import sql, states
from ansible_collections.sluice.stack.plugins.module_utils.migration.files import File, Status
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import LeaseLost

TWO = "create index concurrently a on t (a);\ncreate index concurrently b on t (b);\n"
ONE = "alter table t add column a int;\n"


class Database:
    """A connection on which another run takes the app while a statement that begins like this runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
        self.done: list[str] = []
        self.slow, self.lost = slow, False
        monkeypatch.setattr(sql.database, "effects", lambda _, text: (sql.split(text), [None, None]))

    def query(self, text: str, timeout: float = 0, beat: Callable[[], None] | None = None) -> list[dict[str, Any]]:
        if text.startswith(self.slow):
            self.lost = True
            assert beat, "who waits long asks whether the run still owns the app"
            beat()
        self.done.append(text.split(" where ", maxsplit=1)[0].strip())
        return [{"steps": 0, "underway": False}]

    def beat(self) -> None:
        if self.lost:
            raise LeaseLost("another run has the app")

    def apply(self, text: str) -> Any:
        connection: Any = self
        return sql.apply(connection, File("1_a", text), Status(), 60, self.beat)


def test_the_statement_under_way_ends_and_is_recorded_and_no_other_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch, "create index concurrently a")
    with pytest.raises(LeaseLost):
        database.apply(f"-- sluice: no-transaction\n{TWO}")
    assert database.done[-2:] == [
        "create index concurrently a on t (a)",
        f"update {sql.TABLE} set steps = 1, underway = false",
    ]


def test_a_file_in_a_transaction_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch, "alter table")
    assert database.apply(ONE) == (0, "")
    assert database.done[0] == "begin" and database.done[-1] == "commit"


def test_who_waits_for_the_lock_gives_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch, "select pg_advisory_lock")
    connection: Any = database
    with pytest.raises(LeaseLost):
        sql.lock(connection, 60, database.beat)


@pytest.mark.parametrize(("engine", "done"), [("prisma", "attend"), ("command", "attend"), ("sql", "lock")])
def test_a_plan_waits_for_what_an_earlier_run_left_at_work(
    monkeypatch: pytest.MonkeyPatch, engine: str, done: str
) -> None:
    """Else what is pending is not so any more when it is applied, and the restore point is in the middle of it."""
    order: list[str] = []
    found = {"status": {"pending": [], "applied": []}}
    monkeypatch.setattr(states, "_read", lambda _: (order.append("look") or found, []))
    monkeypatch.setattr(states, "_connect", lambda _: SimpleNamespace(close=lambda: order.append("close")))
    monkeypatch.setattr(states.tool, "attend", lambda _: order.append("attend"))
    monkeypatch.setattr(states.sql, "lock", lambda *_: order.append("lock"))
    job: Any = SimpleNamespace(settings={"engine": engine, "timeout": 60}, beat=lambda: None)
    states.plan(job, "", wait=True)
    assert order == [done, *(["close"] if engine == "sql" else []), "look"]
    order.clear()
    states.plan(job, "", wait=False)
    assert order == ["look"]
