# SPDX-License-Identifier: Apache-2.0
"""The keys of backups as a document to be encrypted."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import escrow

AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
STORE = {
    "name": "store",
    "type": "s3",
    "bucket": "b",
    "passphrase": "hunter2",
    "access_key": "a",
    "secret_key": "hunter3",
}


def test_a_document_has_what_a_restore_needs_and_nothing_else() -> None:
    hosts = {
        "db1": {"backup_engine": "pgbackrest", "backup_repositories": [STORE], "postgres_port": 5432},
        "app1": {"file_backup_repositories": [STORE], "backup_repositories": None},
        "edge1": {"backup_engine": "pgbackrest"},
    }
    found = escrow.document(hosts, "production", "2026-11-28T00:00:00Z")
    assert found["environment"] == "production"
    assert found["hosts"] == {
        "db1": {"backup_engine": "pgbackrest", "backup_repositories": [STORE]},
        "app1": {"file_backup_repositories": [STORE]},
    }
    said = "\n".join(escrow.lines(found, "/tmp/keys.age"))
    assert "db1  backup store: passphrase, access_key, secret_key" in said
    assert "app1  file_backup store" in said
    assert "hunter" not in said


def test_no_backups_have_no_keys() -> None:
    with pytest.raises(escrow.EscrowError, match="there are no keys to export"):
        escrow.document({"edge1": {"backup_engine": "pgbackrest"}}, "", "")


@pytest.mark.parametrize("given", [AGE, [AGE, "ssh-ed25519 AAAAC3Nz anna@example.com"], "ssh-rsa AAAA"])
def test_recipients(given: Any) -> None:
    assert escrow.recipients(given) == ([given] if isinstance(given, str) else given)


@pytest.mark.parametrize(
    "given", ["", None, [], [""], 5, {"a": 1}, "anna", f"{AGE} x", "--output=/etc/passwd", AGE.upper()]
)
def test_what_is_no_recipient(given: Any) -> None:
    with pytest.raises(escrow.EscrowError, match="backup_keys_recipient"):
        escrow.recipients(given)


def test_a_private_key_is_refused_and_not_shown() -> None:
    key = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZ"
    with pytest.raises(escrow.EscrowError, match="is a private key") as raised:
        escrow.recipients(key)
    assert "GFPYY" not in str(raised.value)
