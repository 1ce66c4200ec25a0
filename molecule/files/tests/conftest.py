# SPDX-License-Identifier: Apache-2.0
"""Hosts of the scenario from outside: a shell on each, the playbooks, the object store as its owner sees it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config

REPOSITORY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
STATE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "store"
INVENTORY = REPOSITORY / "molecule/files/inventory"
VAULT = REPOSITORY / "inventories/lab/group_vars/all/vault.yml"
BUCKET = "sluice-backups"


class Host:
    """A container of the scenario, as root."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.container = f"sluice-{os.environ['MOLECULE_SCENARIO_NAME']}-{name}"

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """A script, whatever comes of it."""
        return subprocess.run(
            ["docker", "exec", "--interactive", self.container, "bash"],
            input=script,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def must(self, script: str) -> str:
        """What a script printed; it has to succeed."""
        done = self.run(script)
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def files(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code and answer of the program for files."""
        done = self.run(f"sluice-files --json {' '.join(words)}")
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def unit(self, what: str) -> bool:
        """Whether a unit, started as its timer starts it, ended well."""
        return self.run(f"systemctl start sluice-files@{what}.service").returncode == 0

    def listing(self, folder: str) -> str:
        """Everything in a directory that a restore has to bring back: kinds, modes, owners, links, times, names, contents."""
        return self.must(
            f"cd {folder} && find . -printf '%y %m %U:%G %n %TY-%Tm-%TdT%TT %p -> %l\\n' | sort -k6 && "
            "find . -type f -print0 | sort -z | xargs -0 sha256sum && getfattr -R -d -m user . | sort"
        )


def ansible(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An Ansible command with the scenario's inventory and the lab's secrets."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    vault = f"lab@{REPOSITORY}/scripts/vault-key-client"
    return subprocess.run(
        [words[0], "-i", str(INVENTORY), "-e", f"@{VAULT}", *words[1:]],
        cwd=REPOSITORY,
        env={**own, "ANSIBLE_VAULT_IDENTITY_LIST": vault, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def app1() -> Host:
    """Debian 13."""
    return Host("app1")


@pytest.fixture(scope="session", params=["app1", "app2"])
def app(request: pytest.FixtureRequest) -> Host:
    """Debian 13, then Debian 12."""
    return Host(request.param)


@pytest.fixture(scope="session")
def store1() -> Host:
    return Host("store1")


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """The scenario's secrets, by the names they have in the vault."""
    plain = subprocess.run(
        ["ansible-vault", "view", str(VAULT)], check=True, capture_output=True, text=True, cwd=REPOSITORY
    )
    return dict(yaml.safe_load(plain.stdout))


@pytest.fixture(scope="session")
def store(secrets: dict[str, str]) -> Any:
    """The object store, as who owns its keys."""
    return boto3.client(
        "s3",
        endpoint_url="https://10.213.63.41:8333",
        region_name="us-east-1",
        aws_access_key_id=secrets["vault_s3_access_key"],
        aws_secret_access_key=secrets["vault_s3_secret_key"],
        verify=str(STATE / "ca/ca.pem"),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


def objects(store: Any, prefix: str) -> list[dict[str, Any]]:
    """All objects below a prefix."""
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item for page in pages for item in page.get("Contents", [])]
