# SPDX-License-Identifier: Apache-2.0
"""The primary: settings, checksums, TLS, who gets in, and what is logged."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

import pytest

Ask = Callable[..., str]

NO_TLS = "sslmode=disable"
# An authority that has nothing to do with the server.
WRONG_AUTHORITY = "sslmode=verify-full sslrootcert=/etc/ssl/certs/ssl-cert-snakeoil.pem"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # Of 1024 MiB, as the README's formulas have it.
        ("shared_buffers", "256MB"),
        ("effective_cache_size", "768MB"),
        ("work_mem", "4MB"),
        ("maintenance_work_mem", "64MB"),
        ("max_wal_size", "1GB"),
        ("max_connections", "100"),
        ("wal_level", "replica"),
        ("max_slot_wal_keep_size", "8GB"),
        ("password_encryption", "scram-sha-256"),
        # postgres_settings wins over the role's 500.
        ("log_min_duration_statement", "250ms"),
        ("data_checksums", "on"),
        ("ssl", "on"),
    ],
)
@pytest.mark.parametrize("host", ["db1", "db2"])
def test_settings(sql: Ask, host: str, name: str, value: str) -> None:
    assert sql(host, f"show {name}") == value


def test_nothing_waits_for_a_restart(sql: Ask) -> None:
    assert sql("db1", "select count(*) from pg_settings where pending_restart") == "0"


def test_listens_on_localhost_and_the_private_address_only(shell: Ask) -> None:
    listening = {line.split()[3].rsplit(":", 1)[0] for line in shell("db1", "ss -Hltn sport = :5432").splitlines()}
    assert "10.213.54.11" in listening
    assert listening <= {"10.213.54.11", "127.0.0.1", "[::1]"}


def test_the_firewall_lets_the_networks_of_postgres_hba_in() -> None:
    """This machine is in no group of the inventory."""
    socket.create_connection(("10.213.54.11", 5432), timeout=10).close()


def test_a_client_that_checks_everything_gets_in(client: Ask) -> None:
    query = "select current_user, ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
    assert client("shop_reader", query) == "shop_reader|t|TLSv1.3"


def test_a_client_that_trusts_another_authority_does_not(client: Ask) -> None:
    assert "certificate verify failed" in client("shop_reader", "select 1", WRONG_AUTHORITY)


def test_a_client_without_tls_gets_in_where_it_may(client: Ask) -> None:
    query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    assert client("marketplace", query, NO_TLS, "marketplace") == "f"
    assert "no encryption" in client("shop_reader", "select 1", NO_TLS)
    assert "pg_hba.conf rejects" in client("shop_app", "select 1", NO_TLS)


def test_a_wrong_password_does_not(client: Ask) -> None:
    assert "password authentication failed" in client("shop_reader", "select 1", password="wrong")


@pytest.mark.parametrize(("user", "database"), [("shop_reader", "marketplace"), ("marketplace", "shop")])
def test_a_role_of_another_database_does_not(client: Ask, user: str, database: str) -> None:
    assert "no pg_hba.conf entry" in client(user, "select 1", database=database)


def test_only_scram_and_the_hosts_own_users(sql: Ask) -> None:
    methods = "select distinct auth_method from pg_hba_file_rules where error is null order by 1"
    assert sql("db1", methods).split() == ["peer", "reject", "scram-sha-256"]
    assert sql("db1", "select count(*) from pg_hba_file_rules where error is not null") == "0"
    weak = "select count(*) from pg_authid where rolpassword is not null and rolpassword not like 'SCRAM-SHA-256$%'"
    assert sql("db1", weak) == "0"


def test_keys_are_for_those_who_need_them(shell: Ask) -> None:
    found = shell("db1", "cd /etc/sluice/postgres; stat -c '%n %a %U:%G' *.key").splitlines()
    assert found == ["authority.key 600 root:root", "server.key 640 root:postgres"]


def logged(shell: Ask, word: str) -> list[dict[str, object]]:
    lines = shell("db1", f"grep -F {word} /var/log/postgresql/postgresql-17-main.json").splitlines()
    return [json.loads(line) for line in lines]


def test_slow_statements_and_connections_are_logged_as_json(client: Ask, shell: Ask) -> None:
    mark = f"mark{time.time_ns()}"
    client("shop_reader", f"select pg_sleep(0.4), 1 as {mark}")
    line = next(entry for entry in logged(shell, mark) if "duration" in str(entry["message"]))
    assert (line["user"], line["dbname"]) == ("shop_reader", "shop")
    assert any("connection authorized" in str(entry["message"]) for entry in logged(shell, "shop_reader"))


def test_quick_statements_are_not(client: Ask, shell: Ask) -> None:
    mark = f"mark{time.time_ns()}"
    client("shop_reader", f"select 1 as {mark}")
    assert logged(shell, mark) == []


def test_logs_are_rotated(shell: Ask) -> None:
    assert "considering log /var/log/postgresql/postgresql-17-main.json" in shell(
        "db1", "logrotate --debug /etc/logrotate.conf 2>&1"
    )


@pytest.mark.parametrize("host", ["db1", "db2"])
def test_passwords_are_in_no_log_and_no_process(shell: Ask, passwords: dict[str, str], host: str) -> None:
    logs = shell(
        host,
        "journalctl --no-pager --output=cat; find /var/log -type f -not -path '*/journal/*' -exec cat {} +; "
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    )
    assert "checkpoint" in logs
    assert [name for name, value in passwords.items() if value in logs] == []
