# SPDX-License-Identifier: Apache-2.0
"""The backups' keys leave the controller encrypted, and nowhere else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.dry_run import REPOSITORY, run

STORE = {
    "name": "store",
    "type": "s3",
    "bucket": "b",
    "passphrase": "hunter2-pass",
    "access_key": "a",
    "secret_key": "hunter2-key",
}
VARIABLES = {
    "environment_name": "staging",
    "backup_repositories": [STORE],
    "file_backup_repositories": "{{ backup_repositories }}",
}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key of age."""
    subprocess.run(["bash", "-c", '. "$0/scripts/lib.sh"; need_packages age', REPOSITORY], check=True)
    path = tmp_path_factory.mktemp("age") / "key.txt"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yml").write_text("all: {}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(yaml.safe_dump(VARIABLES))
    return tmp_path


def public(identity: Path) -> str:
    return subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True).stdout.strip()


def test_only_the_private_key_opens_them(inventory: Path, identity: Path) -> None:
    target = inventory / "keys.age"
    words = ("-e", f"backup_keys_recipient={public(identity)}", "-e", f"backup_keys_file={target}")
    done = run(*words, "-vvv", playbook="playbooks/backup/keys.yml", more=inventory)
    assert done.code == 0, done.output
    assert "hunter2" not in done.output and "hunter2" not in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o600
    opened = subprocess.run(
        ["age", "--decrypt", "--identity", identity, target], check=True, capture_output=True, text=True
    )
    found = json.loads(opened.stdout)
    assert found["environment"] == "staging"
    assert found["hosts"]["edge1"] == {"backup_repositories": [STORE], "file_backup_repositories": [STORE]}
    other = inventory / "other.txt"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    assert subprocess.run(
        ["age", "--decrypt", "--identity", other, target], capture_output=True, check=False
    ).returncode


def test_without_a_recipient_or_keys_nothing_is_written(inventory: Path, identity: Path) -> None:
    target = inventory / "keys.age"
    words = ("-e", f"backup_keys_file={target}")
    done = run(*words, playbook="playbooks/backup/keys.yml", more=inventory)
    assert done.errors[0].startswith("backup_keys_recipient is not set"), done.output
    private = identity.read_text().splitlines()[-1]
    done = run(*words, "-e", f"backup_keys_recipient={private}", playbook="playbooks/backup/keys.yml", more=inventory)
    assert "is a private key" in done.errors[0]
    assert private not in done.output
    done = run(*words, "-e", f"backup_keys_recipient={public(identity)}", playbook="playbooks/backup/keys.yml")
    assert "there are no keys to export" in done.errors[0]
    assert not target.exists()
