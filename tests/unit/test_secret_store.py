# SPDX-License-Identifier: Apache-2.0
"""Secrets are named by version, kept by root, and never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release.secret_store import (
    SecretMissing,
    keep,
    secret_version,
    values_for,
)


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
