# SPDX-License-Identifier: Apache-2.0
"""What dumps keep and what they do not, on a real server and a real object store; each thing that could break it is broken on purpose.

What is there, and what a drill catches; test_restores_of_dumps.py follows. Unlike other scenarios' tests these change their hosts; every one
leaves them so that the next can run.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from conftest import STAGING, Host, drill, dumps

from tests.support.scenario import BUCKET, CANARY, PLANT, PLANTED, ansible, leaks, objects

KEYS = "/etc/sluice/backup"
SETTINGS = "/etc/sluice/backup.json"


@contextlib.contextmanager
def changed(host: Host, path: str, change: str) -> Iterator[None]:
    """A file of the host with a change (for sed), for a while."""
    host.must(f"cp -p {path} /root/kept && sed -i '{change}' {path}")
    try:
        yield
    finally:
        host.must(f"mv /root/kept {path}")


def test_a_dump_is_in_every_repository_and_the_status_is_green(db1: Host) -> None:
    db1.must("systemctl start sluice-backup@full.service")
    code, answer = db1.backup("status")
    assert code == 0, answer["problems"]
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


def keys_of(host: Host) -> list[str]:
    """The passphrases and keys of the repositories, as the host has them."""
    found = host.must(f"cat {KEYS}/*.passphrase; sed -n 's/^aws_.*= //p' {KEYS}/*.credentials").split()
    assert len(found) == 4
    return found


def test_keys_are_seen_nowhere_while_commands_run(db1: Host) -> None:
    identity = db1.backup("restore")[1]["id"]
    restore = f"sluice-backup restore --confirm {identity} && sluice-backup revert --restore {identity}"
    folders = ("/var/cache/sluice-backup", STAGING, "/var/lib/sluice", "/etc/systemd", SETTINGS, "/etc/postgresql")
    for command in ("sluice-backup status", restore, "sluice-backup full", "sluice-backup drill"):
        assert leaks(db1, keys_of(db1), command, *folders) == set(), command
    modes = db1.must(f"stat -c '%U:%G %a' {KEYS} {KEYS}/store.passphrase {KEYS}/store.credentials").split("\n")
    assert modes == ["root:root 700", "root:root 600", "root:root 600"]


def test_the_hashes_of_passwords_are_seen_nowhere_but_in_a_dump(db1: Host) -> None:
    hashes = db1.sql("select rolpassword from pg_authid where rolpassword is not null", "postgres").split()
    assert hashes
    assert leaks(db1, hashes, "sluice-backup full", "/var/cache/sluice-backup", "/var/lib/sluice") == set()


def test_what_is_in_the_clear_would_be_seen(db1: Host) -> None:
    assert leaks(db1, [CANARY], PLANT) >= PLANTED


def test_a_verbose_provisioning_shows_no_keys(db1: Host) -> None:
    hidden = keys_of(db1)
    db1.must(f"echo other > {KEYS}/store.passphrase; echo other > {KEYS}/store.credentials")
    done = ansible(
        "ansible-playbook", "provision.yml", "--limit", "db1,localhost", "--tags", "backup", "-vvv", "--diff"
    )
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown[-3000:]
    assert keys_of(db1) == hidden, "the keys were written again"
    assert "Configure | Write the program, what it needs, and the units that run it" in shown
    assert not [index for index, secret in enumerate(hidden) if secret in shown]


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
    assert status == 1 and any("store: it cannot be decrypted" in line for line in answer["problems"])


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
        "store: the object store store1:8333 does not answer" in line for line in answer["problems"]
    )
    assert len(dumps(db1, 1)) == before + 1, "the other repository has its dump"
    deadline = time.monotonic() + 120
    while db1.backup("full")[0] or db1.backup("drill")[0] or db1.backup("status")[0]:
        assert time.monotonic() < deadline, db1.backup("status")[1]["problems"]


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
