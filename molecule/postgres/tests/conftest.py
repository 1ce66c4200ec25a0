# SPDX-License-Identifier: Apache-2.0
"""What the tests of the database hosts share: asking a server by its socket, and as a client from the other host."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
ADDRESSES = {"db1": "10.213.54.11", "db2": "10.213.54.12"}

Client = Callable[..., str]


class Passwords(dict[str, str]):
    """Passwords by role; a failing test shows the names."""

    def __repr__(self) -> str:
        return f"Passwords({', '.join(self)})"


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    """What group_vars/all.yml makes of the lab's secret."""
    vault = subprocess.run(
        ["ansible-vault", "view", str(REPOSITORY / "inventories/lab/group_vars/all/vault.yml")],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    secret = yaml.safe_load(vault.stdout)["vault_postgres_app_password"]
    made = {
        f"shop_{name}": hashlib.sha256(f"{secret} shop_{name}".encode()).hexdigest()
        for name in ("migrator", "app", "reader")
    }
    made |= {name: hashlib.sha256(f"{secret} {name}".encode()).hexdigest() for name in ("exporter", "replication")}
    return Passwords(marketplace=secret, **made)


def inside(host: str, script: str) -> str:
    """What a script printed on a host, errors too. It goes in by standard input: a secret in it is in no process's arguments."""
    done = subprocess.run(
        ["docker", "exec", "--interactive", f"sluice-postgres-{host}", "sh"],
        input=script,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return (done.stdout + done.stderr).strip()


@pytest.fixture(scope="session")
def sql() -> Callable[[str, str], str]:
    """Ask the server of a host as its own superuser."""

    def ask(host: str, query: str, database: str = "postgres") -> str:
        return inside(host, f"runuser -u postgres -- psql -XAt {database} -c {shlex.quote(query)}")

    return ask


@pytest.fixture(scope="session")
def client(passwords: Passwords) -> Client:
    """Ask db1's server as a role would, from db2, over TCP; TLS as libpq's settings in ``how`` say."""

    def ask(
        user: str,
        query: str,
        how: str = "sslmode=verify-full sslrootcert=/etc/sluice/postgres/authority.pem",
        database: str = "shop",
        password: str | None = None,
    ) -> str:
        target = f"host={ADDRESSES['db1']} user={user} dbname={database} connect_timeout=5 {how}"
        return inside(
            "db2",
            f"export PGPASSWORD={password or passwords[user]}; psql -XAtqw {shlex.quote(target)} -c {shlex.quote(query)}",
        )

    return ask


@pytest.fixture(scope="session")
def shell() -> Callable[[str, str], str]:
    """Run a script as root on a host."""
    return inside
