# SPDX-License-Identifier: Apache-2.0
"""The backup program of an engine that dumps, with a server and a store that are not there.

They are fixtures where a test has ``server = pytest.fixture(dump_program.server)``, and ``host`` the same way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, program, restic
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Saved
from ansible_collections.sluice.stack.plugins.module_utils.dump import make as dump_make
from ansible_collections.sluice.stack.plugins.module_utils.dump import program as dump_program
from ansible_collections.sluice.stack.plugins.module_utils.dump import restore as dump_restore
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store

NEWEST = Backup("cccccccc", "full", 1.0, 2.0, 2**20, 2**19, "", 7, "cccccccccc", "/staging/dump")
DATABASES = [{"name": "shop", "oid": 5, "bytes": 2**20}, {"name": "it's", "oid": 6, "bytes": 0}]


class Server:
    """Answers for SQL and the server's programs; notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.fails = ""

    def sql(self, _: Any, query: str, *__: Any) -> str:
        if "json_object_agg" in query:
            return json.dumps({"shop": 5})
        if "json_build_object" in query:
            return json.dumps(DATABASES)
        return {"select pg_is_in_recovery()": "f", dump_make.SYSTEM: "7"}.get(query, "t")

    def run(self, argv: list[str], *_: Any, **__: Any) -> Done:
        self.asked.append(argv)
        return (
            Done(1, "", f"pg_dump: error: {self.fails}\nand more")
            if self.fails and argv[0].endswith("/pg_dump")
            else Done(0, "", "")
        )


def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    for module in (drill, dump_make, dump_program, dump_restore):
        monkeypatch.setattr(module, "sql", found.sql)
    monkeypatch.setattr(dump_make, "as_postgres", found.run)
    return found


def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, Any]:
    """Settings whose places are all in a directory of the test; two repositories, that keep what they are sent."""
    for module, names in (
        (dump_store, {"LOCK": "drill-lock", "RUNS": "runs.json"}),
        (dump_make, {"RESTORED": "restore.json"}),
        (dump_restore, {"RESTORED": "restore.json"}),
        (drill, {"RECORD": "drill.json"}),
    ):
        for name, file in names.items():
            monkeypatch.setattr(module, name, str(tmp_path / file))
    monkeypatch.setattr(drill, "STATE", str(tmp_path))
    monkeypatch.setattr(dump_store.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(restic, "unlock", lambda _: None)
    monkeypatch.setattr(restic, "forget", lambda *_: None)
    monkeypatch.setattr(restic, "prune", lambda _: 99)
    monkeypatch.setattr(restic, "backup", lambda *_: (Saved("abcd", 1, 1), ""))
    monkeypatch.setattr(dump_store, "look", lambda item, _=0: Repository(item["name"], 1, None, (NEWEST,)))
    monkeypatch.setattr(backup_scratch, "remove", lambda _: None)
    settings = {
        "engine": "pg_dump",
        "stanza": "main",
        "version": "17",
        "socket": "/run",
        "port": 5432,
        "data": str(tmp_path / "data"),
        "textfile": str(tmp_path),
        "staging": str(tmp_path / "staging"),
        "jobs": 2,
        "keep": {"within": "2d"},
        "keep_releases": {"within": "30d"},
        "repositories": [{"name": name, "keep": {"weekly": 4}} for name in ("store", "local")],
        "max_age_hours": 10**9,
        "full_max_age_hours": 10**9,
        "drill_max_age_hours": 0,
        "drill_repository": "store",
        "drill_directory": str(tmp_path / "scratch"),
        "drill_port": 5499,
        "drill_seconds": 1,
        "drill_max_rpo_seconds": 3600,
        "drill_checks": [],
    }
    engine = dump_program.ENGINE._replace(settings=lambda: settings, state=str(tmp_path))
    monkeypatch.setattr(dump_program, "ENGINE", engine)
    return settings


def replaced(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    """The engine with other parts."""
    monkeypatch.setattr(dump_program, "ENGINE", dump_program.ENGINE._replace(**parts))


def asked_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = program.main(dump_program.ENGINE, ["--json", *words])
    return code, json.loads(capsys.readouterr().out)
