# SPDX-License-Identifier: Apache-2.0
"""The keys that were exported are those that the backups are encrypted with: they open them without the inventory's vault."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import Lab
from tests.support.playbook import REPO

READ = (
    "cd /; config=$(mktemp); trap 'rm -f $config' EXIT; cat >$config; chown postgres $config; "
    "runuser -u postgres -- pgbackrest --config=$config --stanza=main info"
)


def settings(repository: dict[str, Any], ca: str) -> str:
    """What pgBackRest needs to read a repository, made from what was exported."""
    host, _, port = repository["endpoint"].partition(":")
    lines = {
        "type": "s3",
        "path": repository["path"],
        "s3-endpoint": host,
        "storage-port": port,
        "s3-bucket": repository["bucket"],
        "s3-region": repository.get("region", "us-east-1"),
        "s3-uri-style": repository["uri_style"],
        "s3-key": repository["access_key"],
        "s3-key-secret": repository["secret_key"],
        "storage-ca-file": ca,
        "cipher-type": "aes-256-cbc",
        "cipher-pass": repository["passphrase"],
    }
    return (
        "[global]\n"
        + "".join(f"repo1-{name}={value}\n" for name, value in lines.items())
        + "[main]\npg1-path=/nowhere\n"
    )


@pytest.mark.soak
def test_what_was_exported_opens_the_backups(lab: Lab, v1_0_0: str, tmp_path: Path) -> None:
    subprocess.run(["bash", "-c", '. "$0/scripts/lib.sh"; need_packages age', REPO], check=True)
    identity, target = tmp_path / "key.txt", tmp_path / "keys.age"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True).stdout.strip()
    lab.playbook(
        "playbooks/backup/keys", "-e", f"backup_keys_recipient={public}", "-e", f"backup_keys_file={target}"
    ).good()
    opened = subprocess.run(
        ["age", "--decrypt", "--identity", identity, target], check=True, capture_output=True, text=True
    )
    host = json.loads(opened.stdout)["hosts"]["db1"]
    store = next(one for one in host["backup_repositories"] if one["name"] == "store")

    lab.on("db1", "sluice-backup", "full", timeout=240)
    lab.on("db1", "sh", "-c", "cat >/tmp/escrow-ca.pem; chmod 0644 /tmp/escrow-ca.pem", stdin=store["ca"])
    try:
        read = lab.on("db1", "sh", "-c", READ, stdin=settings(store, "/tmp/escrow-ca.pem"))
        assert "status: ok" in read and "full backup" in read, read
        # The control: with another passphrase it is not readable.
        wrong = lab.on(
            "db1", "sh", "-c", READ, check=False, stdin=settings({**store, "passphrase": "x"}, "/tmp/escrow-ca.pem")
        )
        assert "full backup" not in wrong, wrong
    finally:
        lab.on("db1", "rm", "-f", "/tmp/escrow-ca.pem")
    # Given to a run as they are, they are what the hosts have; another one is not.
    kept = tmp_path / "recovered.json"
    kept.write_text(json.dumps(host))
    assert "no changes" in str(provision(lab, kept))
    kept.write_text(json.dumps({**host, "backup_repositories": [{**store, "passphrase": "x" * 32}]}))
    changed = str(provision(lab, kept))
    assert "no changes" not in changed and "would change" in changed, changed


def provision(lab: Lab, kept: Path) -> Any:
    return lab.playbook("provision", "--tags", "backup", "--check", "-e", f"@{kept}").good()
