# SPDX-License-Identifier: Apache-2.0
"""The promise that no row is lost, on a real server and a real object store; each thing that could break it is broken on purpose.

In this order: what is there, what a drill catches, back in time, and at last the loss of the host. Unlike other scenarios' tests these change
their hosts; every one leaves them so that the next can run.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Client, Host

from tests.support.scenario import BUCKET, CANARY, LEAST, PLANT, PLANTED, ansible, leaks, least_key, objects

CONFIGURATION = "/etc/pgbackrest/pgbackrest.conf"


@contextlib.contextmanager
def configured(host: Host, change: str) -> Iterator[None]:
    """The backup program's configuration with a change (for sed), for a while."""
    host.must(f"cp -p {CONFIGURATION} /root/kept.conf && sed -i '{change}' {CONFIGURATION}")
    try:
        yield
    finally:
        host.must(f"mv /root/kept.conf {CONFIGURATION}")


@contextlib.contextmanager
def replaced(store: Any, key: str, body: bytes | None) -> Iterator[None]:
    """An object with other contents, or none, for a while."""
    kept = store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    if body is None:
        store.delete_object(Bucket=BUCKET, Key=key)
    else:
        store.put_object(Bucket=BUCKET, Key=key, Body=body)
    try:
        yield
    finally:
        store.put_object(Bucket=BUCKET, Key=key, Body=kept)


def drill(host: Host) -> tuple[int, str, str]:
    """Exit code, verdict and reason of a drill, as the host keeps them."""
    code, answer = host.backup("drill")
    kept = json.loads(host.must("cat /var/lib/sluice/backup/drill.json"))
    assert (kept["verdict"], kept["reason"]) == (answer["verdict"], answer["reason"])
    assert host.run("pgrep --full sluice-drill/data").returncode == 1, "the scratch server is gone"
    return code, answer["verdict"], answer["reason"]


def becomes_well(host: Host, *commands: str) -> None:
    """Have the backup program's commands tried, in their order, until all of them are well."""
    deadline = time.monotonic() + 120
    while any(host.backup(command)[0] for command in commands):
        assert time.monotonic() < deadline, host.backup("status")[1]["problems"]


def test_backups_are_there_and_the_status_is_green(db1: Host) -> None:
    db1.sql("create table if not exists orders (seq bigint primary key, at timestamptz default clock_timestamp())")
    db1.must("sluice-backup full")
    code, answer = db1.backup("status")
    assert code == 0, answer["problems"]
    assert {item["name"] for item in answer["repositories"] if item["backups"]} == {"store", "local"}
    metrics = db1.must("cat /var/lib/prometheus/node-exporter/sluice_backup.prom")
    assert 'sluice_backup_success{repository="store"} 1' in metrics and "sluice_backup_problems 0" in metrics


def test_keys_are_seen_nowhere_while_commands_run(db1: Host) -> None:
    secrets = db1.must(f"sed -nE 's/^repo[0-9]-(cipher-pass|s3-key|s3-key-secret)=//p' {CONFIGURATION}").split()
    assert len(secrets) == 4
    folders = ["/var/spool/pgbackrest", "/etc/systemd", "/etc/sluice", "/etc/postgresql", "/var/lib/sluice"]
    for command in ("sluice-backup full", "sluice-backup drill", "sluice-backup status"):
        assert leaks(db1, secrets, command, *folders) == set()
    assert leaks(db1, [CANARY], PLANT) >= PLANTED
    assert db1.must(f"stat -c '%U:%G %a' {CONFIGURATION}") == "root:postgres 640"


def test_what_is_stored_cannot_be_read_without_the_passphrase(store: Any) -> None:
    body = store.get_object(Bucket=BUCKET, Key="shop/backup/main/backup.info")["Body"].read()
    assert body.startswith(b"Salted__")


def test_a_good_backup_is_proved_and_measured(db1: Host) -> None:
    code, verdict, reason = drill(db1)
    assert (code, verdict) == (0, "proved"), reason
    kept = json.loads(db1.must("cat /var/lib/sluice/backup/drill.json"))
    assert kept["rto_seconds"] > 0 and 0 < kept["rpo_seconds"] < 60
    assert kept["checks"] == [{"name": "orders are there", "passed": True}]
    assert "sluice_backup_drill_proved 1" in db1.must("cat /var/lib/prometheus/node-exporter/sluice_backup_drill.prom")


def test_a_drill_sees_a_damaged_file(db1: Host, store: Any) -> None:
    label = db1.backup("status")[1]["repositories"][0]["backups"][-1]["label"]
    key = objects(store, f"shop/backup/main/{label[:16]}/bundle/")[0]["Key"]
    body = bytearray(store.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    for at in range(1024, len(body), 4096):
        body[at] ^= 0xFF
    with replaced(store, key, bytes(body)):
        code, verdict, reason = drill(db1)
    assert (code, verdict) == (1, "failed")
    assert "store: a file of the backup is damaged" in reason


def test_a_drill_sees_a_missing_wal_file(db1: Host, store: Any) -> None:
    db1.must("sluice-backup incr")
    stop = db1.backup("status")[1]["repositories"][0]["last_wal"]
    for _ in range(3):
        db1.sql("select pg_switch_wal()", "postgres")
        time.sleep(1.5)
    time.sleep(5)
    newer = sorted(
        item["Key"] for item in objects(store, "shop/archive/main/") if re.search(r"/[0-9A-F]{24}-", item["Key"])
    )
    key = next(key for key in newer if key.rpartition("/")[2][:24] > stop)
    assert key != newer[-1]
    with replaced(store, key, None):
        code, verdict, reason = drill(db1)
    assert (code, verdict) == (1, "failed")
    assert f"WAL file {key.rpartition('/')[2][:24]} is missing" in reason


def test_a_drill_sees_a_wrong_passphrase(db1: Host) -> None:
    with configured(db1, "s/^repo1-cipher-pass=.*/repo1-cipher-pass=not-the-one-it-was-written-with/"):
        code, verdict, reason = drill(db1)
    assert (code, verdict) == (1, "failed")
    assert "store: it cannot be decrypted: the passphrase is not the one" in reason


def test_a_drill_sees_an_empty_bucket(db1: Host) -> None:
    with configured(db1, "s#^repo1-path=.*#repo1-path=/another#"):
        code, verdict, reason = drill(db1)
    assert (code, verdict) == (1, "failed")
    assert "store: it holds no backup" in reason


def test_a_store_that_is_down_leaves_nothing_proved_and_is_loud(db1: Host, store1: Host) -> None:
    store1.must("systemctl stop seaweedfs")
    try:
        code, verdict, reason = drill(db1)
        status, answer = db1.backup("status")
    finally:
        store1.must("systemctl start seaweedfs")
    assert (code, verdict) == (2, "could not run")
    assert "the object store store1:8333 does not answer" in reason
    assert status == 1 and any(
        "store: the object store store1:8333 does not answer" in line for line in answer["problems"]
    )
    metrics = db1.must("cat /var/lib/prometheus/node-exporter/*.prom")
    assert 'sluice_backup_success{repository="store"} 0' in metrics and "sluice_backup_drill_proved 0" in metrics
    # It comes back, what waited is archived, a drill proves it, and the status is green again.
    becomes_well(db1, "drill", "status")


def test_the_printed_policy_is_enough_for_the_database(db1: Host, store1: Host, store: Any) -> None:
    """WAL is shipped, a backup made, an old one expired, and a restore proved, by a key that may do nothing else."""
    db1.must("sluice-backup full")  # two are kept: the next one expires the oldest
    oldest = db1.backup("status")[1]["repositories"][0]["backups"][0]["label"]
    keys = f"s/^repo1-s3-key=.*/repo1-s3-key={LEAST['id']}/; s/^repo1-s3-key-secret=.*/repo1-s3-key-secret={LEAST['secret']}/"
    with least_key(store1, store), configured(db1, keys):
        assert db1.must(f"grep -c {LEAST['id']} {CONFIGURATION}") == "1"
        # The store takes a moment to go by a new policy.
        becomes_well(db1, "full", "status")
        assert oldest not in [item["label"] for item in db1.backup("status")[1]["repositories"][0]["backups"]]
        assert drill(db1)[1] == "proved"
        store.delete_bucket_policy(Bucket=BUCKET)
        code, answer = db1.backup("full")
        failed = [line for line in answer["lines"] if line.startswith("store: ")]
        assert code == 1 and failed and "backed up" not in failed[0], "without the policy the key may do nothing"
    becomes_well(db1, "full", "status")


def rows(host: Host) -> str:
    return host.sql("select seq, at from orders order by seq")


@pytest.fixture(scope="module")
def past(db1: Host) -> dict[str, Any]:
    """Moments in the database's past: a restore point and a time, and the rows there were."""
    db1.sql("truncate orders; insert into orders (seq) select generate_series(1, 200)")
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-v1.0.0"
    begun = time.monotonic()
    done = ansible("ansible", "db1", "--become", "-m", "sluice.stack.db_restore_point", "-a", f"name={name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"name: {name}" in done.stdout or f'"name": "{name}"' in done.stdout
    print(f"restore point, with Ansible's own start: {time.monotonic() - begun:.1f} s")
    found = {"point": name, "at_point": rows(db1)}
    db1.sql("insert into orders (seq) select generate_series(201, 300); delete from orders where seq % 7 = 0")
    found |= {"at_time": rows(db1)}
    time.sleep(0.2)
    found["time"] = db1.sql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    time.sleep(0.2)
    db1.sql("update orders set at = now(); delete from orders where seq < 50; select pg_switch_wal()")
    assert len({found["at_point"], found["at_time"], rows(db1)}) == 3
    # More than archive_timeout, with heartbeats: what is aimed at is in the archive.
    time.sleep(8)
    return found


def restored(host: Host, *words: str) -> dict[str, Any]:
    """The record of a restore that was planned, confirmed and carried out."""
    code, plan = host.backup("restore", *words)
    assert code == 0, plan
    code, record = host.backup("restore", *words, "--confirm", plan["id"])
    assert code == 0, record
    return record


def test_a_restore_that_is_not_confirmed_changes_nothing(db1: Host) -> None:
    before = db1.sql("select system_identifier, pg_postmaster_start_time() from pg_control_system()")
    code, answer = db1.backup("restore", "--confirm", "0123456789")
    assert code == 2 and "is not the plan" in answer["failed"]
    assert db1.sql("select system_identifier, pg_postmaster_start_time() from pg_control_system()") == before


def test_back_to_a_time_row_for_row(db1: Host, past: dict[str, Any]) -> None:
    latest = rows(db1)
    record = restored(db1, "--time", past["time"])
    assert rows(db1) == past["at_time"]
    assert record["new_timeline"] > 1
    assert db1.must(f"test -d {record['aside']}/base && echo kept") == "kept"
    past |= {"latest": latest, "back": record["revert"]}


def test_and_on_to_the_restore_point_row_for_row(db1: Host, past: dict[str, Any]) -> None:
    record = restored(db1, "--point", past["point"])
    assert rows(db1) == past["at_point"]
    # The command that was printed goes back to what was there before.
    db1.must(record["revert"])
    assert rows(db1) == past["at_time"]


def test_the_server_killed_and_the_host_lost_under_load(db1: Host, db2: Host) -> None:
    db1.sql("truncate orders")
    db1.must("sluice-backup full")
    client = Client(db1)
    client.start()
    time.sleep(5)
    # First the server alone: its own crash recovery keeps every acknowledged row.
    db1.must("kill -9 $(head -n 1 /var/lib/postgresql/17/main/postmaster.pid)")
    killed = time.time()
    time.sleep(1)
    db1.must("systemctl restart postgresql@17-main")
    known = {int(line) for line in db1.sql("select seq from orders").split()}
    before = {number for number, at in client.acknowledged.items() if at < killed}
    assert len(before) > 100 and before <= known
    # Then the whole host, at a moment nobody chose.
    time.sleep(15 + random.random() * 8)

    subprocess.run(["docker", "kill", db1.container], check=True, capture_output=True)
    lost_at = time.time()
    acknowledged = client.finish()
    assert len(acknowledged) > len(before) + 100, "the client went on after the crash"

    plan = ansible(
        "ansible-playbook", "playbooks/backup/restore.yml", "-e", "restore_host=db2", "-e", "restore_repository=store"
    )
    assert plan.returncode == 0, plan.stdout + plan.stderr
    identity = re.search(r"confirm +([0-9a-f]{10})", plan.stdout)
    assert identity and "another cluster" in plan.stdout
    begun = time.time()
    done = ansible(
        *(
            "ansible-playbook",
            "playbooks/backup/restore.yml",
            "-e",
            "restore_host=db2",
            "-e",
            "restore_repository=store",
        ),
        *("-e", f"restore_confirm={identity[1]}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seconds = time.time() - begun

    record = json.loads(db2.must("cat /var/lib/sluice/backup/restore.json"))
    there = {int(line) for line in db2.sql("select seq from orders").split()}
    lost = {number for number in acknowledged if number not in there}
    rpo = lost_at - record["heartbeat"]
    print(
        f"{len(acknowledged)} rows acknowledged, {len(lost)} lost, heartbeat says {rpo:.1f} s; restored in {record['seconds']:.1f} s, {seconds:.0f} s in all"
    )
    # What the heartbeat says was lost is all that was: no row acknowledged before it is missing.
    assert {number for number in lost if acknowledged[number] < record["heartbeat"]} == set()
    assert rpo < 30
    # It is backed up again, on the new timeline, and a second look is green.
    status, answer = db2.backup("status")
    assert status == 0, answer["problems"]
    newest = answer["repositories"][0]["backups"][-1]
    assert newest["kind"] == "full" and newest["begun"] > record["begun"]
    assert int(newest["first_wal"][:8], 16) == record["new_timeline"]
