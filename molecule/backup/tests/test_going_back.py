# SPDX-License-Identifier: Apache-2.0
"""Back to a restore point with the rows counted first: what is predicted is what is undone, exactly, under writes that go on.

What was done since the point is known from the client's own notes of what the database acknowledged, and from nowhere else. Unlike other
scenarios' tests these change their host; they leave it so that the next can run.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.scenario import Host

ROWS = 300


class Writer(threading.Thread):
    """Inserts, updates and deletes rows of two tables, one with a key and one without; keeps both as the database has acknowledged them."""

    def __init__(self, host: Host, columns: str) -> None:
        super().__init__(daemon=True)
        self.host, self.columns, self.stopped = host, columns, threading.Event()
        self.random = random.Random(20261123)
        self.keyed: dict[int, str] = {number: f"first {number}" for number in range(ROWS)}
        self.bag: Counter[str] = Counter({f"event {number}": 3 for number in range(20)})
        self.next, self.statements = ROWS, 0
        self.unsure: str | None = None
        self.refused = ""

    def run(self) -> None:
        """Write until told to stop or thrown out; one statement at a time, none tried twice."""
        with subprocess.Popen(
            [
                "docker",
                "exec",
                "--interactive",
                "--user",
                "postgres",
                self.host.container,
                "psql",
                "-XAtqv",
                "ON_ERROR_STOP=1",
                "shop",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as psql:
            assert psql.stdin and psql.stdout and psql.stderr
            # Not the superuser, whom a closed database lets in.
            psql.stdin.write("set role shop;\n")
            while not self.stopped.is_set():
                self.unsure, note = self.choose()
                try:
                    psql.stdin.write(f"{self.unsure}; select 'done';\n")
                    psql.stdin.flush()
                except BrokenPipeError:
                    break
                if psql.stdout.readline().strip() != "done":
                    break
                note()
                self.unsure, self.statements = None, self.statements + 1
                time.sleep(0.002)
            psql.kill()
            self.refused = psql.stderr.read()

    def choose(self) -> tuple[str, Any]:
        """A statement, and what to note when it was acknowledged."""
        kind = self.random.choice(["insert", "update", "delete", "event", "forget"])
        if kind == "insert" or (kind in ("update", "delete") and not self.keyed):
            number, text = self.next, f"new {self.next}"
            self.next += 1
            return (
                f"insert into tasks (id, text{self.columns}) values ({number}, '{text}'{', 1' if self.columns else ''})",
                (lambda: self.keyed.__setitem__(number, text)),
            )
        if kind == "update":
            number = self.random.choice(sorted(self.keyed))
            text = self.random.choice(["first", "new", "other"]) + f" {number}"
            return f"update tasks set text = '{text}' where id = {number}", lambda: self.keyed.__setitem__(number, text)
        if kind == "delete":
            number = self.random.choice(sorted(self.keyed))
            return f"delete from tasks where id = {number}", lambda: self.keyed.pop(number)
        event = f"event {self.random.randrange(25)}"
        if kind == "event" or not self.bag[event]:
            return f"insert into events values ('{event}')", lambda: self.bag.update([event])
        return (
            f"delete from events where ctid = (select ctid from events where what = '{event}' limit 1)",
            lambda: self.bag.subtract([event]),
        )

    def finish(self) -> Writer:
        """Stop, between two statements."""
        self.stopped.set()
        self.join(timeout=30)
        assert self.statements > 200
        return self


def counted(before: Writer, now: Writer) -> dict[str, dict[str, int]]:
    """What changed between two states of the client's notes."""
    old, new = before.keyed, now.keyed
    return {
        "shop.public.tasks": {
            "inserted": len(new.keys() - old.keys()),
            "updated": sum(old[key] != new[key] for key in old.keys() & new.keys()),
            "deleted": len(old.keys() - new.keys()),
        },
        "shop.public.events": {
            "inserted": (now.bag - before.bag).total(),
            "updated": 0,
            "deleted": (before.bag - now.bag).total(),
        },
    }


def there(host: Host) -> tuple[dict[int, str], Counter[str]]:
    """What the database has."""
    keyed = dict(line.split("|") for line in host.sql("select id, text from tasks").splitlines())
    return {int(key): text for key, text in keyed.items()}, Counter(host.sql("select what from events").splitlines())


def make_point(host: Host) -> str:
    """A restore point, named as a release names its own."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-v1.1.0"
    host.sql(f"select pg_create_restore_point('{name}'); select pg_switch_wal()", "postgres")
    return name


def settled(host: Host) -> None:
    """The last WAL file is in the archive."""
    file = host.sql("select pg_walfile_name(pg_switch_wal())", "postgres")
    deadline = time.monotonic() + 60
    while host.sql("select last_archived_wal from pg_stat_archiver", "postgres")[:24] < file:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def begun(db1: Host) -> Iterator[None]:
    """The tables as v1.0.0 has them, in a backup; and no trace of them afterwards."""
    # Nor of an earlier run of these tests.
    aside = "/var/lib/postgresql/17/main.before-* /var/lib/postgresql/17/main.left-*"
    db1.must(f"rm -rf {aside} /var/lib/sluice/backup/rewind.json")
    db1.sql(
        "drop table if exists tasks, events; create table tasks (id bigint primary key, text text); create table events (what text);"
        f"insert into tasks select n, 'first ' || n from generate_series(0, {ROWS - 1}) n;"
        "insert into events select 'event ' || n % 20 from generate_series(0, 59) n; alter table tasks owner to shop; alter table events owner to shop"
    )
    db1.must("sluice-backup full")
    time.sleep(1.5)
    yield
    db1.sql("drop table if exists tasks, events, made")
    db1.must(f"sluice-backup full; rm -rf {aside}")
    assert db1.backup("status")[0] == 0


@pytest.fixture
def released(db1: Host, begun: None) -> dict[str, Any]:
    """A restore point, a migration after it, and writes by the new release."""
    db1.sql("drop table if exists made; alter table tasks drop column if exists urgent")
    point = make_point(db1)
    before = Writer(db1, "")
    before.keyed, before.bag = there(db1)
    db1.sql("alter table tasks add column urgent int default 0; create table made (id int primary key)")
    db1.sql("alter table made owner to shop; insert into made values (1), (2), (3)")
    writer = Writer(db1, ", urgent")
    writer.keyed, writer.bag = there(db1)
    writer.next = max(writer.keyed) + 1
    writer.start()
    time.sleep(4)
    return {"point": point, "before": before, "writer": writer}


MADE = {"shop.public.made": {"inserted": 3, "updated": 0, "deleted": 0}}


def test_what_would_be_undone_is_said_exactly_and_nothing_is_changed(db1: Host, released: dict[str, Any]) -> None:
    writer = released["writer"].finish()
    settled(db1)
    began = db1.sql("select pg_postmaster_start_time()", "postgres")
    code, answer = db1.backup("compare", "--point", released["point"])
    assert code == 0, answer
    assert answer["tables"] == counted(released["before"], writer) | MADE
    assert answer["bags"] == ["shop.public.events"]
    assert "column shop.public.tasks.urgent was added since, and goes" in answer["schema"]
    assert "table shop.public.made was created since, and goes" in answer["schema"]
    assert there(db1) == (writer.keyed, +writer.bag)
    assert db1.sql("select pg_postmaster_start_time()", "postgres") == began
    assert db1.run("ls -d /var/lib/postgresql/17/main.rewind /var/lib/sluice/backup/rewind.json").stdout == ""
    print(
        f"{writer.statements} statements; {answer['lines'][-1]}; restored in {answer['restored_seconds']:.1f} s, counted in {answer['count_seconds']:.1f} s"
    )


def test_the_comparison_goes_on_while_the_database_is_used(db1: Host, released: dict[str, Any]) -> None:
    code, answer = db1.backup("compare", "--point", released["point"])
    assert code == 0, answer
    assert released["writer"].is_alive(), "nobody was thrown out by a comparison"
    released["writer"].finish()


def test_a_failure_after_the_door_was_closed_opens_it_again(db1: Host, released: dict[str, Any]) -> None:
    writer = released["writer"].finish()
    # A table that cannot be read: its file is gone.
    db1.sql(
        "create table broken (id int primary key); insert into broken select generate_series(1, 100); checkpoint",
        "shop",
    )
    file = db1.sql("select pg_relation_filepath('broken')")
    db1.must(f"mv /var/lib/postgresql/17/main/{file} /root/broken")
    settled(db1)
    try:
        code, answer = db1.backup("rewind", "--point", released["point"], "--confirm", released["point"])
        assert code == 2 and answer["failed"].endswith("Nothing was changed, and the database takes connections"), (
            answer
        )
    finally:
        db1.must(f"mv /root/broken /var/lib/postgresql/17/main/{file}")
        db1.sql("drop table broken")
    assert there(db1) == (writer.keyed, +writer.bag)
    assert (
        db1.sql("set role shop; insert into made values (9); delete from made where id = 9; select 'written'")
        == "written"
    )
    assert db1.must("systemctl is-active sluice-heartbeat") == "active"


def test_rows_are_undone_as_counted_under_writes_that_go_on(db1: Host, released: dict[str, Any]) -> None:
    """The count that matters is the last one, made when nobody can write any more: the writer is thrown out in the middle of its work."""
    point, writer = released["point"], released["writer"]
    settled(db1)
    code, first = db1.backup("compare", "--keep", "--point", point)
    assert code == 0 and writer.is_alive(), first
    begun = time.monotonic()
    code, record = db1.backup("rewind", "--point", point, "--confirm", point)
    assert code == 0, record
    print(
        f"{time.monotonic() - begun:.1f} s, of which {record['seconds']:.1f} s without the database; {writer.statements} statements; {record['lines']}"
    )
    writer.finish()
    assert "terminating connection" in writer.refused or "shutting down" in writer.refused, writer.refused
    actual = counted(released["before"], writer)
    if writer.unsure:  # sent, and its answer lost: it may have been carried out
        number = sum(
            abs(record["tables"][name][kind] - count[kind]) for name, count in actual.items() for kind in count
        )
        assert number <= 1, (record["tables"], actual, writer.unsure)
    else:
        assert record["tables"] == actual | MADE
    # It is later than the first, and the control of it: what was written in between is in the one and not in the other.
    assert record["tables"] != first["tables"]
    assert there(db1) == (released["before"].keyed, released["before"].bag)
    assert (
        db1.sql(
            "select to_regclass('made') is null, count(*) from information_schema.columns where table_name = 'tasks'"
        )
        == "t|2"
    )
    assert record["new_timeline"] > record["timeline"]
    assert db1.must(f"test -d {record['aside']}/base && echo kept") == "kept"
    # It archives on its new timeline, can be backed up, and is well.
    settled(db1)
    db1.must("sluice-backup full")
    status, answer = db1.backup("status")
    assert status == 0, answer["problems"]
    # The same again is not done again.
    assert db1.backup("rewind", "--point", point, "--confirm", point)[1]["already"]
    # The command that was printed goes back to all that was undone.
    db1.must(record["revert"])
    assert there(db1) == (writer.keyed, +writer.bag) or writer.unsure
    assert db1.sql("select count(*) from made") == "3"
    # On a timeline above the one that was left: what is backed up there keeps its WAL, as the tests after this one see.
    assert int(db1.sql("select timeline_id from pg_control_checkpoint()", "postgres")) > record["new_timeline"]


def test_a_row_changed_between_the_comparison_and_the_rewind_is_in_the_last_count(
    db1: Host, released: dict[str, Any]
) -> None:
    """The control of the prediction, by a hand that no client notes."""
    point, writer = released["point"], released["writer"].finish()
    settled(db1)
    code, first = db1.backup("compare", "--keep", "--point", point)
    assert code == 0, first
    assert first["tables"] == counted(released["before"], writer) | MADE
    db1.sql(
        "insert into tasks values (1000000, 'behind its back'); delete from events where ctid = (select min(ctid) from events)"
    )
    code, record = db1.backup("rewind", "--point", point, "--confirm", point)
    assert code == 0, record
    tasks, events = record["tables"]["shop.public.tasks"], record["tables"]["shop.public.events"]
    assert tasks == {
        **first["tables"]["shop.public.tasks"],
        "inserted": first["tables"]["shop.public.tasks"]["inserted"] + 1,
    }
    net = {
        name: count["inserted"] - count["deleted"]
        for name, count in (("first", first["tables"]["shop.public.events"]), ("last", events))
    }
    assert net["last"] == net["first"] - 1
    assert there(db1) == (released["before"].keyed, released["before"].bag)
    db1.must("sluice-backup full")


def test_killed_while_it_counts_the_next_run_ends_it(db1: Host, released: dict[str, Any]) -> None:
    point, writer = released["point"], released["writer"].finish()
    settled(db1)
    closed = "/etc/postgresql/17/main/conf.d/zz-sluice-locked.conf"
    db1.must(
        f"sluice-backup rewind --point {point} --confirm {point} >/dev/null 2>&1 & p=$!; "
        f"while [ ! -e {closed} ]; do sleep 0.02; done; "
        # The file is there before the server goes by it.
        "until runuser -u postgres -- psql -XAtc 'show hba_file' 2>/dev/null | grep -q locked; do sleep 0.02; done; "
        "kill -9 $p; wait $p || true"
    )
    status, answer = db1.backup("status")
    assert status == 1 and any("a rewind that has not ended" in line for line in answer["problems"]), answer["problems"]
    deadline = time.monotonic() + 60
    while db1.run("runuser -u postgres -- psql -c 'select 1'").returncode:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "Connection refused" in db1.run("psql 'host=127.0.0.1 user=shop dbname=shop'").stderr
    assert "no pg_hba.conf entry" in db1.run("psql 'user=shop dbname=shop'").stderr
    assert there(db1) == (writer.keyed, +writer.bag)
    db1.must("sluice-backup unlock")
    assert (
        db1.sql("set role shop; insert into made values (8); delete from made where id = 8; select 'written'")
        == "written"
    )
    code, record = db1.backup("rewind", "--point", point, "--confirm", point)
    assert code == 0 and record["tables"] == counted(released["before"], writer) | MADE, record
    assert there(db1) == (released["before"].keyed, released["before"].bag)
    db1.must("sluice-backup full")


def test_a_restore_point_that_is_not_there(db1: Host, begun: None) -> None:
    settled(db1)
    point = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-v9.9.9"
    code, answer = db1.backup("compare", "--point", point)
    assert code == 2 and "recovery ended before configured recovery target was reached" in answer["failed"], answer
    assert db1.run("ls -d /var/lib/postgresql/17/main.rewind").stdout == ""
