# SPDX-License-Identifier: Apache-2.0
"""What the tests of the host roles share: the hosts by what runs on them, the secrets, a look at a server from another address."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])


class Secrets(dict[str, str]):
    """Values by name; a failing test shows the names."""

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self)})"


@pytest.fixture(scope="session")
def secrets() -> Secrets:
    """The lab's secrets, by name."""
    plain = subprocess.run(
        ["ansible-vault", "view", str(REPOSITORY / "inventories/lab/group_vars/all/vault.yml")],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    return Secrets(yaml.safe_load(plain.stdout))


@pytest.fixture
def address(host: Any) -> str:
    """The address the other hosts would use."""
    variables = host.ansible.get_variables()
    value = variables.get("stack_address") or variables["ansible_host"]
    return str(host.ansible("debug", f"msg={value}")["msg"]) if "{{" in value else str(value)


@pytest.fixture
def shell(host: Any) -> Callable[[str], str]:
    """Run a script on the host as root and return what it printed, errors too.

    It goes in by standard input and past sudo: a secret in it is in no process's arguments and no log.
    """
    container = (
        f"sluice-{os.environ['MOLECULE_SCENARIO_NAME']}-{host.backend.get_pytest_id().split('://')[-1].split('@')[-1]}"
    )

    def run(script: str) -> str:
        done = subprocess.run(
            ["docker", "exec", "--interactive", container, "sh"],
            input=script,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def startup_answer() -> Callable[[str, str, str], str]:
    """Asks a Postgres server, from this machine, for a connection; see `postgres_says`."""
    return postgres_says


def postgres_says(address: str, user: str, database: str) -> str:
    """Ask for a connection as a client without a password would; the server's first answer, as text.

    The start-up packet and the answers are those of the protocol, version 3.0:
    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """
    body = struct.pack("!i", 196608) + f"user\0{user}\0database\0{database}\0\0".encode()
    with socket.create_connection((address, 5432), timeout=5) as connection:
        connection.sendall(struct.pack("!i", len(body) + 4) + body)
        answer = connection.recv(4096)
    kind = answer[:1]
    if kind == b"R":
        return {0: "welcome", 3: "clear text", 5: "md5", 10: "scram"}[struct.unpack("!i", answer[5:9])[0]]
    return answer[5:].replace(b"\0", b" ").decode()
