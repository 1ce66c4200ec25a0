# SPDX-License-Identifier: Apache-2.0
"""Redis: nothing without the password, and what it keeps."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any


def talk(address: str, *commands: str) -> list[str]:
    """Send commands in Redis' inline form; one answer each."""
    answers = []
    with socket.create_connection((address, 6379), timeout=5) as connection:
        for command in commands:
            connection.sendall(f"{command}\r\n".encode())
            answers.append(connection.recv(4096).decode().strip())
    return answers


def test_runs_now_and_at_boot(host: Any) -> None:
    assert host.service("redis-server").is_running
    assert host.service("redis-server").is_enabled


def test_listens_on_localhost_and_the_private_address_only(host: Any, address: str) -> None:
    listening = {line.split()[3].rsplit(":", 1)[0] for line in host.check_output("ss -Hltn sport = :6379").splitlines()}
    assert address in listening
    assert listening <= {address, "127.0.0.1", "[::1]"}


def test_nothing_without_the_password(host: Any, address: str) -> None:
    for answer in talk(address, "PING", "KEYS *", "CONFIG GET requirepass", "AUTH wrong-password"):
        assert answer.startswith(("-NOAUTH", "-WRONGPASS"))


def test_answers_and_persists_with_it(host: Any, address: str, secrets: dict[str, str]) -> None:
    answers = talk(
        address, f"AUTH {secrets['vault_redis_password']}", "PING", "CONFIG GET appendonly", "CONFIG GET maxmemory"
    )
    assert answers[:2] == ["+OK", "+PONG"]
    assert answers[2].endswith("yes")
    assert int(answers[3].split()[-1]) > 0


def test_the_password_is_for_the_server_to_read_alone(
    host: Any, shell: Callable[[str], str], secrets: dict[str, str]
) -> None:
    found = shell(f"grep -rlF {secrets['vault_redis_password']} /etc").split()
    assert len(found) == 1
    assert (host.file(found[0]).group, host.file(found[0]).mode) == ("redis", 0o640)
