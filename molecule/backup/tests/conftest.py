# SPDX-License-Identifier: Apache-2.0
"""Hosts of the scenario from outside: a shell on each, the playbooks, the object store as its owner sees it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config

REPOSITORY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
STATE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "store"
INVENTORY = REPOSITORY / "molecule/backup/inventory"
VAULT = REPOSITORY / "inventories/lab/group_vars/all/vault.yml"
BUCKET = "sluice-backups"


class Host:
    """A container of the scenario, as root."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.container = f"sluice-{os.environ['MOLECULE_SCENARIO_NAME']}-{name}"

    def run(self, script: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """A script, whatever comes of it."""
        return subprocess.run(
            ["docker", "exec", "--interactive", self.container, "bash"],
            input=script,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def must(self, script: str) -> str:
        """What a script printed; it has to succeed."""
        done = self.run(script)
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sql(self, query: str, database: str = "shop") -> str:
        """The answer to a query of the host's server, as its superuser."""
        done = subprocess.run(
            [
                "docker",
                "exec",
                "--interactive",
                "--user",
                "postgres",
                self.container,
                "psql",
                "-XAtqv",
                "ON_ERROR_STOP=1",
                database,
            ],
            input=query,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def backup(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The backup program's exit code and answer."""
        done = self.run(f"sluice-backup --json {' '.join(words)}")
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)


class Client(threading.Thread):
    """Writes numbered rows one after the other and notes each one the database has acknowledged, and when. Never retries a number."""

    def __init__(self, host: Host) -> None:
        super().__init__(daemon=True)
        self.host, self.stopped = host, threading.Event()
        self.acknowledged: dict[int, float] = {}

    def run(self) -> None:
        """Write until told to stop, over a new connection when one breaks."""
        number = 0
        while not self.stopped.is_set():
            with subprocess.Popen(
                ["docker", "exec", "--interactive", "--user", "postgres", self.host.container, "psql", "-XAtq", "shop"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ) as psql:
                assert psql.stdin and psql.stdout
                try:
                    while not self.stopped.is_set():
                        number += 1
                        psql.stdin.write(f"insert into orders (seq) values ({number}) returning seq;\n")
                        psql.stdin.flush()
                        if psql.stdout.readline().strip() != str(number):
                            break
                        self.acknowledged[number] = time.time()
                        time.sleep(0.002)
                except BrokenPipeError:
                    pass
                finally:
                    psql.kill()
            time.sleep(0.2)

    def finish(self) -> dict[int, float]:
        """Stop; the acknowledged numbers, each with its moment."""
        self.stopped.set()
        self.join(timeout=30)
        return self.acknowledged


def ansible(*words: str) -> subprocess.CompletedProcess[str]:
    """An Ansible command with the scenario's inventory and the lab's secrets."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    vault = f"lab@{REPOSITORY}/scripts/vault-key-client"
    return subprocess.run(
        [words[0], "-i", str(INVENTORY), "-e", f"@{VAULT}", *words[1:]],
        cwd=REPOSITORY,
        env={**own, "ANSIBLE_VAULT_IDENTITY_LIST": vault, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def db1() -> Host:
    return Host("db1")


@pytest.fixture(scope="session")
def db2() -> Host:
    return Host("db2")


@pytest.fixture(scope="session")
def store1() -> Host:
    return Host("store1")


@pytest.fixture(scope="session")
def store() -> Any:
    """The object store, as who owns its keys."""
    plain = subprocess.run(
        ["ansible-vault", "view", str(VAULT)], check=True, capture_output=True, text=True, cwd=REPOSITORY
    )
    secrets = yaml.safe_load(plain.stdout)
    return boto3.client(
        "s3",
        endpoint_url="https://10.213.55.41:8333",
        region_name="us-east-1",
        aws_access_key_id=secrets["vault_s3_access_key"],
        aws_secret_access_key=secrets["vault_s3_secret_key"],
        verify=str(STATE / "ca/ca.pem"),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


def objects(store: Any, prefix: str) -> list[str]:
    """The keys of all objects below a prefix."""
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]
