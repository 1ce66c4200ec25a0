# SPDX-License-Identifier: Apache-2.0
"""Back to dumps, on a real server and a real object store: row for row, another engine for a while, and at last a fresh host.

Every test leaves the hosts so that the next can run, but for the last, which loses one.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import STAGING, Host, dumps

from tests.support.scenario import ansible


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
    assert record["downtime_seconds"] < 10
    # The app's own role gets in, and nobody who did not before.
    assert db1.must("runuser -u postgres -- psql -XAtqc 'set role shop; select count(*) from pages' books") == "2000"
    # The command that was printed goes back to what was there before.
    db1.must(record["revert"])
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
    db1.must(f"sluice-backup revert --restore {record['id']}")
    assert db1.fingerprint() == past["live"]


def test_a_time_goes_to_the_dump_before_it(db1: Host, past: dict[str, Any]) -> None:
    code, plan = db1.backup("restore", "--time", past["moment"])
    assert code == 0 and plan["ended"] < datetime.fromisoformat(past["moment"]).timestamp() < dumps(db1)[-1]["begun"]
    code, answer = db1.backup("restore", "--time", "2020-01-01T00:00:00Z")
    assert (
        code == 2
        and "there is no dump of 2020-01-01 00:00:00 UTC or before: store: its oldest backup is of" in answer["failed"]
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


def provisioned(host: Host, engine: str) -> None:
    """Have the host's database backed up by an engine, as its owner would: by the variable."""
    done = ansible(
        "ansible-playbook", "provision.yml", "--limit", f"{host.name},localhost", "-e", f"backup_engine={engine}"
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    code, answer = host.backup("status")
    assert code == 0, answer["problems"]


def test_from_dumps_to_wal_and_back(db1: Host, past: dict[str, Any]) -> None:
    """The engine of a host that serves is changed: no row is, and what either has made stays."""
    made = [item["label"] for item in dumps(db1)]
    provisioned(db1, "pgbackrest")
    assert db1.sql("show archive_mode", "postgres") == "on"
    assert db1.fingerprint() == past["live"]
    assert db1.backup("incr")[0] == 0
    code, answer = db1.backup("drill")
    assert (code, answer["verdict"]) == (0, "proved"), answer
    kept = db1.must("ls /var/backups/database/backup/main")

    provisioned(db1, "pg_dump")
    assert db1.sql("show archive_mode", "postgres") == "off"
    assert db1.run("systemctl is-enabled sluice-backup@incr.timer").returncode != 0
    assert db1.fingerprint() == past["live"]
    assert db1.backup("full")[0] == 0
    assert [item["label"] for item in dumps(db1)][: len(made)] == made
    code, answer = db1.backup("drill")
    assert (code, answer["verdict"]) == (0, "proved"), answer
    assert db1.must("ls /var/backups/database/backup/main") == kept


def test_a_fresh_host_from_the_store_alone(db1: Host, db2: Host, past: dict[str, Any]) -> None:
    db1.must("sluice-backup full && systemctl stop postgresql@17-main")
    words = (
        "ansible-playbook",
        "playbooks/backup/restore.yml",
        "-e",
        "restore_host=db2",
        "-e",
        "restore_repository=store",
    )
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
    assert status == 0, answer["problems"]
    assert dumps(db2)[-1]["begun"] > record["begun"]
    # The host that was lost comes back, and adds nothing any more.
    db1.must("systemctl start postgresql@17-main")
    code, answer = db1.backup("full")
    assert code == 1 and "dumps of another cluster" in answer["lines"][0]
