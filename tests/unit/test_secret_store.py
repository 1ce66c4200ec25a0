# SPDX-License-Identifier: Apache-2.0
"""Secrets are named by version, kept by root, and never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import at_rest
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import (
    SecretMissing,
    held,
    keep,
    secret_version,
    values_for,
)

# As systemd-creds, but for the cipher: the name is a part of what is kept, and the host's key is checked.
STAND_IN = """#!/usr/bin/env python3
import base64, sys
action, name = sys.argv[1], sys.argv[-3].removeprefix("--name=")
key = open({key!r}).read()
if action == "encrypt":
    assert "--with-key=host" in sys.argv
    print(base64.b64encode(f"{{key}}/{{name}}/".encode() + sys.stdin.buffer.read()).decode())
else:
    found = base64.b64decode(sys.stdin.read())
    if not found.startswith(f"{{key}}/{{name}}/".encode()):
        sys.exit("refusing")
    sys.stdout.buffer.write(found.removeprefix(f"{{key}}/{{name}}/".encode()))
"""


@pytest.fixture(autouse=True)
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without systemd-creds."""
    monkeypatch.setattr(at_rest, "PROGRAM", "/nowhere/systemd-creds")
    monkeypatch.setattr(at_rest, "KEY", "/nowhere/credential.secret")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host with systemd-creds; the file with its key."""
    program, key = tmp_path / "systemd-creds", tmp_path / "credential.secret"
    key.write_text("k1")
    program.write_text(STAND_IN.format(key=str(key)))
    program.chmod(0o755)
    monkeypatch.setattr(at_rest, "PROGRAM", str(program))
    monkeypatch.setattr(at_rest, "KEY", str(key))
    return key


def manifest(**values: str) -> dict[str, Any]:
    versions = {name: secret_version("shop", name, value) for name, value in values.items()}
    return {"id": "r1", "app": "shop", "services": {"backend": {"secrets": versions}, "frontend": {"secrets": {}}}}


def test_a_version_is_the_same_for_the_same_value_and_tells_others_apart() -> None:
    version = secret_version("shop", "TOKEN", "hunter2")
    assert version == secret_version("shop", "TOKEN", "hunter2")
    others = [("shop", "TOKEN", "hunter3"), ("shop", "OTHER", "hunter2"), ("blog", "TOKEN", "hunter2")]
    assert version not in [secret_version(*other) for other in others]
    assert "hunter2" not in version
    assert len(version) == 10


def test_todays_value_is_used_when_it_is_the_one_the_release_wants(tmp_path: Path) -> None:
    assert values_for(manifest(TOKEN="hunter2"), {"TOKEN": "hunter2", "UNUSED": "x"}, str(tmp_path)) == {
        "TOKEN": "hunter2"
    }


def test_a_rollback_gets_the_value_it_had(tmp_path: Path) -> None:
    old = manifest(TOKEN="old value")
    keep(old, {"TOKEN": "old value"}, str(tmp_path))
    assert values_for(old, {"TOKEN": "new value"}, str(tmp_path)) == {"TOKEN": "old value"}


def test_a_value_nobody_has_is_named_and_no_value_is_shown(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing) as caught:
        values_for(manifest(TOKEN="old value"), {"TOKEN": "new value"}, str(tmp_path))
    assert str(caught.value).startswith("release r1 needs secret TOKEN at version ")
    assert "value" not in str(caught.value).replace("the old value in the vault", "")


def test_values_are_kept_for_root_alone(tmp_path: Path) -> None:
    keep(manifest(TOKEN="hunter2"), {"TOKEN": "hunter2"}, str(tmp_path))
    (path,) = (tmp_path / "secrets").iterdir()
    assert path.read_text() == "hunter2"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "hunter2" not in path.name


def test_values_are_encrypted_with_the_hosts_key(tmp_path: Path, key: Path) -> None:
    release, folder = manifest(TOKEN="hunter2\r\n", OTHER=""), tmp_path / "shop"
    keep(release, {"TOKEN": "hunter2\r\n", "OTHER": ""}, str(folder))
    files = sorted((folder / "secrets").iterdir())
    assert [path.suffix for path in files] == [".cred", ".cred"]
    assert all(path.stat().st_mode & 0o777 == 0o600 and "hunter2" not in path.read_text() for path in files)
    # Also one that is not the inventory's any more.
    assert values_for(release, {"TOKEN": "new"}, str(folder)) == {"TOKEN": "hunter2\r\n", "OTHER": ""}


def test_what_an_earlier_version_kept_plain_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    folder, program = tmp_path / "shop", at_rest.PROGRAM
    old = manifest(TOKEN="old value")
    monkeypatch.setattr(at_rest, "PROGRAM", "/nowhere/systemd-creds")
    keep(old, {"TOKEN": "old value"}, str(folder))
    assert [path.suffix for path in (folder / "secrets").iterdir()] == [
        f".{old['services']['backend']['secrets']['TOKEN']}"
    ]
    monkeypatch.setattr(at_rest, "PROGRAM", program)
    keep(manifest(TOKEN="new value"), {"TOKEN": "new value"}, str(folder))
    assert [path.suffix for path in (folder / "secrets").iterdir()] == [".cred", ".cred"]
    assert values_for(old, {"TOKEN": "new value"}, str(folder)) == {"TOKEN": "old value"}


def test_files_of_another_host_are_worth_nothing_and_the_message_says_so(tmp_path: Path, key: Path) -> None:
    old, folder = manifest(TOKEN="hunter2"), tmp_path / "shop"
    keep(old, {"TOKEN": "hunter2"}, str(folder))
    key.write_text("k2")
    with pytest.raises(SecretMissing, match="cannot be decrypted by systemd-creds with this host's key") as caught:
        values_for(old, {"TOKEN": "new"}, str(folder))
    assert "hunter2" not in str(caught.value)
    # What the run brings along needs no file, and is kept again with the new key.
    assert values_for(old, {"TOKEN": "hunter2"}, str(folder)) == {"TOKEN": "hunter2"}
    later = key.stat().st_mtime + 10
    os.utime(key, (later, later))
    (file,) = (folder / "secrets").iterdir()
    os.utime(file, (later - 5, later - 5))
    keep(old, {"TOKEN": "hunter2"}, str(folder))
    assert values_for(old, {"TOKEN": "new"}, str(folder)) == {"TOKEN": "hunter2"}


def test_a_host_that_lost_systemd_creds_keeps_what_comes_along(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, folder = manifest(TOKEN="hunter2"), tmp_path / "shop"
    keep(release, {"TOKEN": "hunter2"}, str(folder))
    monkeypatch.setattr(at_rest, "PROGRAM", "/nowhere/systemd-creds")
    key.unlink()
    keep(release, {"TOKEN": "hunter2"}, str(folder))
    assert values_for(release, {"TOKEN": "new"}, str(folder)) == {"TOKEN": "hunter2"}


def test_names_and_removal_do_not_care_for_the_form(tmp_path: Path, key: Path) -> None:
    at_rest.write(str(tmp_path / "s"), "A.1", "a")
    (tmp_path / "s" / "B.2").write_text("b")
    assert at_rest.names(str(tmp_path / "s")) == ["A.1", "B.2"]
    for name in ("A.1", "B.2"):
        at_rest.remove(str(tmp_path / "s"), name)
    assert list((tmp_path / "s").iterdir()) == []
    assert at_rest.names(str(tmp_path / "none")) == []


def test_what_cannot_be_read_is_not_held(tmp_path: Path, key: Path) -> None:
    folder = tmp_path / "shop"
    keep(manifest(ONE="value"), {"ONE": "value"}, str(folder))
    name = f"ONE.{secret_version('shop', 'ONE', 'value')}"
    assert held(str(folder)) == [name]
    later = (folder / "secrets" / f"{name}.cred").stat().st_mtime + 10
    os.utime(key, (later, later))
    assert held(str(folder)) == [], "it was encrypted with a key from before"
