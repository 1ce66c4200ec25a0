# SPDX-License-Identifier: Apache-2.0
"""A standby after its primary went back: it has what the primary has, and what it had is kept. Every commit waits for it.

Begins with what the other files leave: db1 lost, and db2 restored in its place.
"""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from tests.support.scenario import Host, ansible

PRIMARY = ("-e", "postgres_primary=db2", "-e", "backup_state=active", "-e", "postgres_synchronous=true")
ROWS = "select count(*), coalesce(sum(seq), 0), max(at) from orders"
STREAMS = "select status, received_tli from pg_stat_wal_receiver"
WAITED_FOR = "select string_agg(sync_state, ' ') from pg_stat_replication"


def playbook(*words: str) -> str:
    done = ansible("ansible-playbook", *words, *PRIMARY)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def caught_up(standby: Host, primary: Host) -> None:
    deadline = time.monotonic() + 30
    while standby.sql(ROWS) != primary.sql(ROWS):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def followed(db1: Host, db2: Host) -> None:
    """The lost host is found again, and follows the one that took its place."""
    subprocess.run(["docker", "start", db1.container], check=True, capture_output=True)
    deadline = time.monotonic() + 60
    while db1.run("systemctl is-system-running --wait").stdout.strip() not in ("running", "degraded"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    playbook("playbooks/database/rejoin.yml", "-e", "rejoin_confirm=db1")


def test_a_lost_host_that_is_found_follows(db1: Host, db2: Host, followed: None) -> None:
    db2.sql("insert into orders (seq) select generate_series(-100, -1)")
    caught_up(db1, db2)
    assert db1.sql("select pg_is_in_recovery()") == "t"
    assert db2.sql(WAITED_FOR) == "quorum"


def test_a_restore_takes_the_standby_along(db1: Host, db2: Host, followed: None) -> None:
    kept = db2.sql(ROWS)
    time.sleep(0.2)
    moment = db2.sql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    time.sleep(0.2)
    db2.sql("delete from orders where seq < 0; update orders set at = now(); select pg_switch_wal()")
    # The standby is beyond the moment: left alone it could not follow a primary that goes back to it.
    caught_up(db1, db2)
    assert db1.sql(ROWS) != kept
    time.sleep(8)
    plan = playbook("playbooks/backup/restore.yml", "-e", "restore_host=db2", "-e", f"restore_time={moment}")
    identity = re.search(r"confirm +([0-9a-f]{10})", plan)
    assert identity and db1.sql(STREAMS).startswith("streaming"), "a plan changes nothing"
    timeline = int(db2.sql("select timeline_id from pg_control_checkpoint()"))
    done = playbook(
        "playbooks/backup/restore.yml",
        "-e",
        "restore_host=db2",
        "-e",
        f"restore_time={moment}",
        "-e",
        f"restore_confirm={identity[1]}",
    )
    assert db2.sql(ROWS) == kept
    caught_up(db1, db2)
    status, received = db1.sql(STREAMS).split("|")
    assert status == "streaming" and int(received) > timeline
    # What it had, with the rows that were undone, is in the directory the run names.
    aside = re.search(r"what db1 had is in (\S+);", " ".join(done.split()))
    assert aside and db1.must(f"test -s {aside[1]}/PG_VERSION && echo kept") == "kept"
    assert db2.backup("status")[0] == 0
    # Nobody can write until it follows again, so it does before the run ends.
    assert db2.sql(WAITED_FOR) == "quorum"
    assert db2.sql("insert into orders (seq) values (-1000) returning seq") == "-1000"
