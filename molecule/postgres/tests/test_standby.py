# SPDX-License-Identifier: Apache-2.0
"""The standby: it has what the primary has, over TLS, and writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

Ask = Callable[..., str]


def test_it_streams_over_tls_from_a_slot_of_its_own(sql: Ask) -> None:
    query = "select application_name, usename, state, ssl from pg_stat_replication join pg_stat_ssl using (pid)"
    assert sql("db1", query) == "db2|sluice_replication|streaming|t"
    assert sql("db1", "select slot_name, active, wal_status from pg_replication_slots") == "sluice_db2|t|reserved"


def test_what_the_primary_writes_is_there(sql: Ask) -> None:
    sent = sql("db1", "select pg_logical_emit_message(true, 'test', 'hello')")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if sql("db2", f"select pg_last_wal_replay_lsn() >= '{sent}'") == "t":
            return
        time.sleep(0.2)
    raise AssertionError(f"db2 does not have {sent}")


def test_it_reads_and_does_not_write(sql: Ask) -> None:
    assert sql("db2", "select pg_is_in_recovery()") == "t"
    assert "read-only" in sql("db2", "create table probe (id int)")


def test_its_data_is_the_same_systems(sql: Ask) -> None:
    query = "select system_identifier from pg_control_system()"
    assert sql("db1", query) == sql("db2", query)


def test_the_password_is_in_a_file_and_not_in_the_settings(sql: Ask, shell: Ask, passwords: dict[str, str]) -> None:
    assert passwords["replication"] not in sql("db2", "show primary_conninfo")
    assert shell("db2", "stat -c '%a %U' /etc/sluice/postgres/replication.pass") == "600 postgres"


def test_both_have_certificates_of_one_authority(shell: Ask) -> None:
    same = "sha256sum < /etc/sluice/postgres/authority.pem"
    assert shell("db1", same) == shell("db2", same)
    check = "cd /etc/sluice/postgres; openssl verify -CAfile authority.pem -verify_ip {} server.pem"
    assert shell("db1", check.format("10.213.54.11")) == "server.pem: OK"
    assert shell("db2", check.format("10.213.54.12")) == "server.pem: OK"
    # The control: a certificate is good for its own host alone.
    assert "IP address mismatch" in shell("db2", check.format("10.213.54.11"))
