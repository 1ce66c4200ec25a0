# SPDX-License-Identifier: Apache-2.0
"""What dumps keep and what they do not, on a real server and a real object store; each thing that could break it is broken on purpose.

In this order: what is there, what a drill catches, back to a dump, and at last a fresh host. Unlike other scenarios' tests these change their
hosts; every one leaves them so that the next can run.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Host

from tests.support.scenario import BUCKET, ansible, objects

KEYS = "/etc/sluice/backup"
SETTINGS = "/etc/sluice/backup.json"
STAGING = "/var/lib/postgresql/sluice-dump"


@contextlib.contextmanager
def changed(host: Host, path: str, change: str) -> Iterator[None]:
    """A file of the host with a change (for sed), for a while."""
    host.must(f"cp -p {path} /root/kept && sed -i '{change}' {path}")
    try:
        yield
    finally:
        host.must(f"mv /root/kept {path}")


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


def test_a_dump_is_in_every_repository_and_the_status_is_green(db1: Host) -> None:
    db1.must("systemctl start sluice-backup@full.service")
    code, answer = db1.backup("status")
    assert code == 0, answer["wrong"]
    assert {item["name"] for item in answer["repositories"] if item["backups"]} == {"store", "local"}
    assert db1.run(f"ls -A {STAGING}").stdout == "", "a dump is on the host only while it is made"
    metrics = db1.must("cat /var/lib/prometheus/node-exporter/sluice_backup.prom")
    assert 'sluice_backup_success{repository="store"} 1' in metrics and "sluice_backup_problems 0" in metrics
    stored = re.search(r'sluice_backup_stored_bytes{repository="store"} (\d+)', metrics)
    assert stored and int(stored[1]) > 10_000


def test_timers_run_what_there_is(db1: Host) -> None:
    timers = db1.must(
        "systemctl list-timers --all --no-legend 'sluice-backup@*' | grep -o 'sluice-backup@[a-z]*.timer'"
    ).split()
    assert sorted(timers) == [f"sluice-backup@{name}.timer" for name in ("drill", "full", "status")]
    assert db1.must("systemctl cat sluice-backup@full.timer | grep -c OnCalendar") == "2"
    assert db1.sql("show archive_mode", "postgres") == "off"
    code, answer = db1.backup("incr")
    assert code == 2 and "sluice-backup incr refused: " in answer["failed"]


def test_keys_are_in_no_argument_log_or_open_file(db1: Host) -> None:
    secrets = db1.must(f"cat {KEYS}/*.passphrase; sed -n 's/^aws_.*= //p' {KEYS}/*.credentials").split()
    hashes = db1.sql("select rolpassword from pg_authid where rolpassword is not null", "postgres").split()
    assert len(secrets) == 4 and hashes
    patterns = "\n".join([*secrets, *hashes])
    # While a dump runs, too.
    found = db1.must(
        f"cat > /root/patterns <<'END'\n{patterns}\nEND\n"
        "sluice-backup full >/dev/null & p=$!; n=0; while kill -0 $p 2>/dev/null; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null"
        " | grep -acFf /root/patterns | grep -vx 0; n=$((n+1)); done; test $n -gt 5 || echo too few looks; wait $p; "
        "{ grep -rlFf /root/patterns /var/log /etc/systemd /etc/sluice/backup.json /etc/postgresql; journalctl --no-pager | grep -cFf /root/patterns; }"
        "; rm /root/patterns"
    )
    assert found.split() == ["0"]
    assert db1.must(f"stat -c '%U:%G %a' {KEYS} {KEYS}/store.passphrase {KEYS}/store.credentials").split("\n") == [
        "root:root 700",
        "root:root 600",
        "root:root 600",
    ]


def test_what_is_stored_cannot_be_read_without_the_passphrase(store: Any) -> None:
    keys = [item["Key"] for item in objects(store, "shop/dumps/main/data/")]
    assert keys
    for key in keys:
        body = store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert b"orders" not in body and b"SCRAM" not in body and b"CREATE" not in body


def test_a_good_dump_is_proved_and_measured(db1: Host) -> None:
    code, verdict, reason = drill(db1)
    assert (code, verdict) == (0, "proved"), reason
    kept = json.loads(db1.must("cat /var/lib/sluice/backup/drill.json"))
    assert kept["rto_seconds"] > 0 and 0 < kept["rpo_seconds"] < 300
    assert kept["checks"] == [{"name": "orders are there", "passed": True}]
    assert "sluice_backup_drill_proved 1" in db1.must("cat /var/lib/prometheus/node-exporter/sluice_backup_drill.prom")


def test_a_drill_sees_a_check_that_is_not_true(db1: Host) -> None:
    with changed(db1, SETTINGS, "s/is not null/is null/"):
        code, verdict, reason = drill(db1)
    assert (code, verdict) == (1, "failed") and "check orders are there" in reason


def test_a_drill_sees_a_damaged_pack(db1: Host, store: Any) -> None:
    kept = {}
    for key in [item["Key"] for item in objects(store, "shop/dumps/main/data/")]:
        kept[key] = store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        body = bytearray(kept[key])
        for at in range(64, len(body), 512):
            body[at] ^= 0xFF
        store.put_object(Bucket=BUCKET, Key=key, Body=bytes(body))
    try:
        # What it read before it remembers.
        db1.must("rm -rf /var/cache/sluice-backup/*")
        code, verdict, reason = drill(db1)
    finally:
        for key, whole in kept.items():
            store.put_object(Bucket=BUCKET, Key=key, Body=whole)
    assert (code, verdict) == (1, "failed")
    assert "store: what is stored is damaged" in reason


def test_a_drill_sees_a_wrong_passphrase(db1: Host) -> None:
    with changed(db1, f"{KEYS}/store.passphrase", "s/.*/not-the-one-it-was-made-with/"):
        code, verdict, reason = drill(db1)
        status, answer = db1.backup("status")
    assert (code, verdict) == (1, "failed")
    assert "store: it cannot be decrypted: the passphrase is not the one" in reason
    assert status == 1 and any("store: it cannot be decrypted" in line for line in answer["wrong"])


def test_a_drill_sees_an_empty_bucket(db1: Host) -> None:
    with changed(db1, SETTINGS, "s#shop/dumps/main#another/dumps/main#"):
        code, verdict, reason = drill(db1)
    assert (code, verdict) == (1, "failed")
    assert "store: there is no repository in it" in reason


def test_a_drill_without_room_could_not_run(db1: Host) -> None:
    db1.must("mkdir -p /srv/small && mount -t tmpfs -o size=64m tmpfs /srv/small")
    try:
        with changed(db1, SETTINGS, "s#/var/lib/postgresql/sluice-drill#/srv/small/drill#"):
            code, answer = db1.backup("drill")
    finally:
        db1.must("umount /srv/small")
    assert (code, answer["verdict"]) == (2, "could not run")
    assert "/srv/small/drill has 0.1 GiB free and the drill needs" in answer["reason"]


def test_a_store_that_is_down_leaves_nothing_proved_and_is_loud(db1: Host, store1: Host) -> None:
    before = len(dumps(db1, 1))
    store1.must("systemctl stop seaweedfs")
    try:
        code, verdict, reason = drill(db1)
        full, made = db1.backup("full")
        status, answer = db1.backup("status")
    finally:
        store1.must("systemctl start seaweedfs")
    assert (code, verdict) == (2, "could not run")
    assert "the object store store1:8333 does not answer" in reason
    assert full == 1 and not made["runs"]["store"]["ok"] and made["runs"]["local"]["ok"]
    assert status == 1 and any(
        "store: the object store store1:8333 does not answer" in line for line in answer["wrong"]
    )
    assert len(dumps(db1, 1)) == before + 1, "the other repository has its dump"
    deadline = time.monotonic() + 120
    while db1.backup("full")[0] or db1.backup("drill")[0] or db1.backup("status")[0]:
        assert time.monotonic() < deadline, db1.backup("status")[1]["wrong"]


def test_a_dump_that_is_killed_leaves_nothing_and_the_next_one_works(db1: Host) -> None:
    before = dumps(db1)
    db1.must(
        "sluice-backup full >/dev/null 2>&1 & p=$!; "
        f"while [ ! -e {STAGING}/dump/globals.sql ]; do sleep 0.01; done; kill -9 $p; wait $p || true; sleep 1; test -e {STAGING}/dump"
    )
    assert dumps(db1) == before
    # And while it is kept: what is not listed is not there.
    db1.must(
        "sluice-backup full >/dev/null 2>&1 & p=$!; "
        "while ! pgrep -x restic >/dev/null || ! pgrep -fa 'restic.* backup ' >/dev/null; do sleep 0.01; done; pkill -9 -x restic; kill -9 $p; wait $p || true"
    )
    assert dumps(db1) == before
    db1.must("sluice-backup full")
    assert len(dumps(db1)) == len(before) + 1
    assert db1.run(f"ls -A {STAGING}").stdout == ""


def test_a_dump_that_would_fill_the_disk_is_stopped(db1: Host) -> None:
    """What the server keeps compressed is a hundred times as large in a dump."""
    before = dumps(db1)
    db1.sql("create table wide as select n, repeat('x', 10000000) as text from generate_series(1, 60) n")
    db1.must("mkdir -p /srv/small && mount -t tmpfs -o size=700m tmpfs /srv/small && chmod 755 /srv/small")
    try:
        with changed(db1, SETTINGS, f"s#{STAGING}#/srv/small/staging#"):
            db1.must("install -d -o postgres -m 0700 /srv/small/staging")
            code, answer = db1.backup("full")
    finally:
        db1.must("umount /srv/small")
        db1.sql("drop table wide")
    assert (
        code == 1 and "database shop: its dump is larger than expected and was stopped before" in answer["lines"][0]
    ), answer
    assert dumps(db1) == before


@pytest.fixture(scope="module")
def past(db1: Host) -> dict[str, Any]:
    """A dump for a release and one after it, with what there was, and rows that came when nobody dumped."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-v1.0.0"
    at_point = db1.fingerprint()
    done = ansible("ansible", "db1", "--become", "-m", "sluice.stack.db_restore_point", "-a", f"name={name}")
    assert done.returncode == 0 and '"dump"' in done.stdout.replace("dump:", '"dump"'), done.stdout + done.stderr
    db1.sql("insert into orders (seq) select generate_series(501, 600); delete from orders where seq % 7 = 0")
    at_dump = db1.fingerprint()
    db1.must("sluice-backup full")
    time.sleep(1)
    moment = datetime.now(UTC).isoformat()
    # What no dump has.
    db1.sql("insert into orders (seq) select generate_series(601, 650)")
    db1.sql("update pages set body = 'gone' where id < 100", "books")
    return {"point": name, "at_point": at_point, "at_dump": at_dump, "moment": moment, "live": db1.fingerprint()}


def restored(host: Host, *words: str) -> dict[str, Any]:
    """The record of a restore that was planned, confirmed and carried out."""
    code, plan = host.backup("restore", *words)
    assert code == 0, plan
    code, record = host.backup("restore", *words, "--confirm", plan["id"])
    assert code == 0, record
    assert (record["snapshot"], record["databases"]) == (plan["snapshot"], plan["databases"])
    return record


def test_a_restore_that_is_not_confirmed_changes_nothing(db1: Host, past: dict[str, Any]) -> None:
    code, answer = db1.backup("restore", "--confirm", "0123456789")
    assert code == 2 and "is not the plan" in answer["failed"]
    assert db1.fingerprint() == past["live"]
    code, plan = db1.backup("restore")
    text = "\n".join(plan["lines"])
    assert code == 0 and "all changes of the last" in text and "shop is kept as shop_before_" in text
    assert plan["snapshot"] == dumps(db1)[-1]["id"]


def test_latest_row_for_row_and_back(db1: Host, past: dict[str, Any]) -> None:
    lost = db1.sql("select count(*) from orders where seq > 600")
    assert lost == "50"
    record = restored(db1)
    assert db1.fingerprint() == past["at_dump"]
    assert db1.sql("select count(*) from orders where seq > 600") == "0"
    kept = [new for old, new in record["moves"] if old in ("shop", "books")]
    assert len(kept) == 2 and db1.sql("select count(*) from orders where seq > 600", kept[-1]) == "50"
    assert db1.run(f"ls -A {STAGING}").stdout == ""
    assert record["away_seconds"] < 10
    # The app's own role gets in, and nobody who did not before.
    assert db1.must("runuser -u postgres -- psql -XAtqc 'set role shop; select count(*) from pages' books") == "2000"
    # The command that was printed goes back to what was there before.
    db1.must(record["back"])
    assert db1.fingerprint() == past["live"]
    # What is kept beside is in no dump.
    names = {item["name"] for item in db1.backup("restore")[1]["databases"]}
    assert names == {"postgres", "shop", "books"}


def test_back_to_a_releases_dump_under_connections(db1: Host, past: dict[str, Any]) -> None:
    """Clients that come again and again get the one database or the other, and never a mixture or none for long."""
    db1.must(
        "cat > /root/client <<'END'\nwhile [ ! -e /root/stop ]; do\n"
        "runuser -u postgres -- psql -XAtqc \"select 'rows', count(*) from orders\" shop 2>&1\ndone\nEND\n"
        "rm -f /root/stop; for i in 1 2 3; do bash /root/client > /root/seen.$i & done; sleep 1"
    )
    try:
        record = restored(db1, "--point", past["point"])
    finally:
        seen = db1.must("touch /root/stop; sleep 1; cat /root/seen.*")
    assert db1.fingerprint() == past["at_point"]
    counts = set(re.findall(r"^rows\|(\d+)$", seen, re.M))
    live = json.loads(past["live"])["shop.orders"] != json.loads(past["at_point"])["shop.orders"]
    assert live and len(counts) == 2 and "500" in counts
    db1.must(f"sluice-backup back --restore {record['id']}")
    assert db1.fingerprint() == past["live"]


def test_a_time_goes_to_the_dump_before_it(db1: Host, past: dict[str, Any]) -> None:
    code, plan = db1.backup("restore", "--time", past["moment"])
    assert code == 0 and plan["ended"] < datetime.fromisoformat(past["moment"]).timestamp() < dumps(db1)[-1]["begun"]
    code, answer = db1.backup("restore", "--time", "2020-01-01T00:00:00Z")
    assert (
        code == 2
        and "there is no dump of 2020-01-01 00:00:00 UTC or before: store: its oldest dump is of" in answer["failed"]
    )


def test_a_restore_that_cannot_be_whole_changes_nothing(db1: Host, past: dict[str, Any]) -> None:
    """Somebody holds one of the databases' entries: after some of the renames the exchange fails, and all of it."""
    held = "begin; alter database shop connection limit 50; select pg_sleep(300)"
    db1.sql("alter role postgres in database template1 set lock_timeout = '3s'", "postgres")
    db1.must(f"runuser -u postgres -- psql -q template1 -c '{held}' >/dev/null 2>&1 & sleep 1")
    code, plan = db1.backup("restore")
    code, answer = db1.backup("restore", "--confirm", plan["id"])
    ended = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(300)%' and pid <> pg_backend_pid()"
    assert db1.sql(ended, "postgres") == "t"
    db1.sql("alter role postgres in database template1 reset lock_timeout", "postgres")
    assert [name for name, _ in plan["moves"] if "_restored_" not in name] == ["books", "postgres", "shop"]
    assert code == 2 and "the databases were not exchanged, and are as they were" in answer["failed"], answer
    assert "lock timeout" in answer["failed"]
    assert db1.fingerprint() == past["live"]
    assert db1.sql("select count(*) from pg_database where datname ~ '_restored_'", "postgres") == "0"


def test_a_fresh_host_from_the_store_alone(db1: Host, db2: Host, past: dict[str, Any]) -> None:
    db1.must("sluice-backup full && systemctl stop postgresql@17-main")
    words = ("ansible-playbook", "restore.yml", "-e", "restore_host=db2", "-e", "restore_repository=store")
    plan = ansible(*words)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    identity = re.search(r"confirm +([0-9a-f]{10})", plan.stdout)
    assert identity and "databases books, postgres, shop on db2" in plan.stdout
    # Its own empty databases are nobody's history.
    code, answer = db2.backup("full")
    assert code == 1 and "dumps of another cluster" in answer["lines"][0]
    begun = time.monotonic()
    done = ansible(*words, "-e", f"restore_confirm={identity[1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(db2.must("cat /var/lib/sluice/backup/restore.json"))
    print(f"restored in {record['seconds']:.1f} s, {time.monotonic() - begun:.0f} s in all")
    assert db2.fingerprint() == past["live"]
    assert record["roles_made"] == ["reader"] and "shop" in record["roles_kept"]
    status, answer = db2.backup("status")
    assert status == 0, answer["wrong"]
    assert dumps(db2)[-1]["begun"] > record["begun"]
    # The host that was lost comes back, and adds nothing any more.
    db1.must("systemctl start postgresql@17-main")
    code, answer = db1.backup("full")
    assert code == 1 and "dumps of another cluster" in answer["lines"][0]
