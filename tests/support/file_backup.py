# SPDX-License-Identifier: Apache-2.0
"""The program that backs up files, with repositories that are not there.

It is a fixture where a test has ``host = pytest.fixture(file_backup.host)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import program, restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import program as files
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import restore as restores

NOW = 1_800_000_000.0
HOUR = 3600.0


def snapshot(source: str, hours: float, name: str = "4e77170a", size: int | None = 10) -> Backup:
    moment = NOW - hours * HOUR
    return Backup(name[:8], "full", moment, moment, size, id=name, path=source, source=source)


def store(*backups: Backup, failure: str = "") -> Repository:
    return Repository("store", 1, Failure("unreachable", failure) if failure else None, backups)


def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings whose places are all in a directory of the test; nobody uses the files."""
    for module, name in ((files, "CHECKS"), (files, "LOCK"), (restores, "RECORD")):
        monkeypatch.setattr(module, name, str(tmp_path / f"{name.lower()}.json"))
    monkeypatch.setattr(hosts, "users_of", lambda _: [])
    folder = tmp_path / "uploads"
    folder.mkdir()
    settings = {
        "name": "app1",
        "repositories": [{"name": "store", "endpoint": ""}],
        "sources": [{"name": str(folder), "path": str(folder), "volume": ""}],
        "excludes": [],
        "keep": {"within": "2d", "daily": 7, "weekly": 5, "monthly": 0},
        "check_parts": 3,
        "max_age_hours": 26,
        "check_max_age_hours": 192,
        "textfile": str(tmp_path),
    }
    engine = files.ENGINE._replace(settings=lambda: settings, state=str(tmp_path))
    monkeypatch.setattr(files, "ENGINE", engine)
    for name in ("unlock", "check", "forget"):
        monkeypatch.setattr(restic, name, lambda *_: None)
    monkeypatch.setattr(restic, "prune", lambda _: 7)
    monkeypatch.setattr(restic, "snapshots", lambda _: [])
    return settings


def run(*words: str) -> int:
    return program.main(files.ENGINE, words)
