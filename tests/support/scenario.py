# SPDX-License-Identifier: Apache-2.0
"""A Molecule scenario's hosts, from outside: a shell on each, its playbooks, and its object store as the store's owner sees it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = os.environ.get("MOLECULE_SCENARIO_NAME", "")
INVENTORY = REPOSITORY / "molecule" / NAME / "inventory"
STATE = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "")) / "store"
# The lab's secrets do for every scenario.
VAULT = REPOSITORY / "inventories/lab/group_vars/all/vault.yml"
BUCKET = "sluice-backups"


class Host:
    """A container of the scenario, as root."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.container = f"sluice-{NAME}-{name}"

    def run(self, script: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """A script, whatever comes of it."""
        return self._run("bash", stdin=script, timeout=timeout)

    def must(self, script: str) -> str:
        """What a script printed; it has to succeed."""
        done = self.run(script)
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sql(self, query: str, database: str = "shop") -> str:
        """The answer to a query of the host's server, as its superuser."""
        done = self._run("psql", "-XAtqv", "ON_ERROR_STOP=1", database, stdin=query, user="postgres", timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def program(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code and answer of one of our programs on the host."""
        done = self.run(f"{words[0]} --json {' '.join(words[1:])}")
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def backup(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code and answer of a database host's backup program."""
        return self.program("sluice-backup", *words)

    def _run(self, *command: str, stdin: str, timeout: float, user: str = "root") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "exec", "--interactive", "--user", user, self.container, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def ansible(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An Ansible command with the scenario's inventory and the lab's secrets; ``environment`` on top of what every run has."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    identities = f"lab@{REPOSITORY}/scripts/vault-key-client"
    return subprocess.run(
        [words[0], "-i", str(INVENTORY), "-e", f"@{VAULT}", *words[1:]],
        cwd=REPOSITORY,
        env={**own, "ANSIBLE_VAULT_IDENTITY_LIST": identities, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def secrets() -> dict[str, str]:
    """The scenario's secrets, by the names they have in the vault."""
    plain = subprocess.run(
        ["ansible-vault", "view", str(VAULT)], check=True, capture_output=True, text=True, cwd=REPOSITORY
    )
    return dict(yaml.safe_load(plain.stdout))


def store(address: str) -> Any:
    """The object store at an address, as who owns its keys: a client of boto3."""
    keys = secrets()
    return boto3.client(
        "s3",
        endpoint_url=f"https://{address}:8333",
        region_name="us-east-1",
        aws_access_key_id=keys["vault_s3_access_key"],
        aws_secret_access_key=keys["vault_s3_secret_key"],
        verify=str(STATE / "ca/ca.pem"),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


def answers(client: Any) -> None:
    """Wait until a store that was restarted lets its owner in again."""
    eventually(lambda: client.head_bucket(Bucket=BUCKET))


def eventually(ask: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a store does what it is asked, as its parts have heard of what was changed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline, f"the store did not do it within {seconds:g} s"
            time.sleep(0.5)


def objects(client: Any, prefix: str) -> list[dict[str, Any]]:
    """All objects below a prefix, as the store lists them."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item for page in pages for item in page.get("Contents", [])]
