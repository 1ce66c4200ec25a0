# SPDX-License-Identifier: Apache-2.0
"""Each release knows the moment before it in the database, and does not begin without the backups that are asked for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import APP, MIGRATION, QUICK, STATE, Lab

STORE_PORT = 8333


def wanting(**backup: Any) -> tuple[str, ...]:
    """What a deploy asks of the backups, as options."""
    return ("-e", json.dumps({"app_backup": backup}), *QUICK)


@pytest.fixture
def begin(lab: Lab, v1_0_0: str) -> Iterator[str]:
    """v1.0.0 is live, and the migration of v1.1.0 is pending; after the test v1.0.0 is live again."""
    release = lab.ensure("v1.0.0")
    lab.unmigrate()
    yield release
    lab.ensure("v1.0.0")


@contextlib.contextmanager
def without_store(lab: Lab) -> Iterator[None]:
    """The database's host does not reach the object store."""
    rule = f"pref 1 ipproto tcp dport {STORE_PORT} prohibit"
    lab.shell("db1", f"ip rule add {rule}")
    try:
        yield
    finally:
        lab.shell("db1", f"ip rule del {rule}")


def ledger(lab: Lab, event: str) -> dict[str, Any]:
    """The newest entry of a kind on the first app host."""
    lines = lab.shell("app1", f"cat {STATE}/apps/{APP}/ledger.jsonl").splitlines()
    entries = [json.loads(line.partition(" ")[2]) for line in lines]
    return next(entry for entry in reversed(entries) if entry["event"] == event)


def test_the_moment_before_a_release_is_in_its_record_and_in_the_archive(lab: Lab, begin: str) -> None:
    run = lab.deploy("v1.1.0", *QUICK).good()
    release = lab.live() or ""
    assert f"db1: restore point {release}, confirmed in the archive" in run.output
    point = ledger(lab, "confirmed")["restore_point"]
    system, archived = lab.sql(
        "select system_identifier, last_archived_wal from pg_control_system(), pg_stat_archiver"
    )[0]
    assert (point["name"], point["system_id"]) == (release, system)
    assert lab.sql(f"select pg_walfile_name('{point['lsn']}') <= '{archived}'") == [["t"]]
    # What would bring it back finds a backup to begin with.
    plan = json.loads(lab.on("db1", "sluice-backup", "--json", "restore", "--point", release))
    assert plan["summary"] == f"restore point {release}"
    assert f"restore point before it: {point['lsn']} on timeline" in lab.playbook("playbooks/app/history").good().output


def test_what_is_not_archived_stops_the_release_before_its_migration(lab: Lab, begin: str) -> None:
    with without_store(lab):
        run = lab.deploy("v1.1.0", *wanting(seconds=4))
    message = run.error()
    assert message.startswith("deploy failed in step restore_point: db1: restore point "), message
    assert "was not archived within 4 s" in message and f"Release {begin} is still live" in message
    assert run.ran("Migrate | Apply") == set() and run.ran("Start | Bring") == set()
    assert not any(row[0].startswith(MIGRATION) for row in lab.migrations())
    assert lab.live() == begin
    # With the store back the same command goes through.
    lab.deploy("v1.1.0", *QUICK).good()


@pytest.mark.soak
def test_backups_that_are_too_old_stop_a_release_and_a_check_of_it(lab: Lab, begin: str) -> None:
    old = wanting(max_age_hours=0.01)  # the backup of the provisioning was longer ago
    for extra in ((), ("--check",)):
        message = lab.deploy("v1.1.0", *old, *extra).error()
        assert "failed in step restore_point: db1: the newest backup is of 2" in message, message
        assert "app_backup.max_age_hours is 0.01" in message
    assert lab.live() == begin
    fresh = lab.deploy("v1.1.0", *wanting(max_age_hours=0.01, incremental_after_hours=0.01)).good()
    assert "restore_point: db1: made a backup: the newest was of 2" in " ".join(fresh.output.split())


@pytest.mark.soak
def test_a_restore_that_nobody_proved_stops_a_release(lab: Lab, begin: str) -> None:
    record = f"{STATE}/backup/drill.json"
    lab.shell("db1", f"if test -e {record}; then mv {record} {record}.aside; fi")
    try:
        message = lab.deploy("v1.1.0", *wanting(drill_max_age_hours=192)).error()
        assert (
            "db1: no restore was ever tried, and app_backup.drill_max_age_hours is 192; run playbooks/backup/drill.yml"
            in message
        )
        assert lab.live() == begin
        lab.playbook("playbooks/backup/drill").good()
        lab.deploy("v1.1.0", *wanting(drill_max_age_hours=192)).good()
    finally:
        lab.shell("db1", f"if test -e {record}.aside; then mv {record}.aside {record}; fi")
