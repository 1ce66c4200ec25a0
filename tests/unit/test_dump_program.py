# SPDX-License-Identifier: Apache-2.0
"""The backup program of an engine that dumps: what it refuses, keeps, and never leaves behind."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.backup import restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done, HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure, Repository, RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Saved
from ansible_collections.sluice.stack.plugins.module_utils.dump import make as dump_make
from ansible_collections.sluice.stack.plugins.module_utils.dump import program as dump_program
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store

from tests.support import dump_program as support
from tests.support.dump_program import NEWEST, Server, asked_of

server = pytest.fixture(support.server)
host = pytest.fixture(support.host)


@pytest.mark.parametrize(
    "words", [["incr"], ["compare", "--point", "x"], ["rewind", "--point", "x", "--confirm", "x"], ["unlock"]]
)
def test_what_takes_another_engine_is_refused_in_one_line(
    host: dict[str, Any], server: Server, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, answer = asked_of(capsys, *words)
    assert code == 2 and len(answer["lines"]) == 1
    assert (
        answer["failed"].startswith(f"sluice-backup {words[0]} refused: ")
        and "backup_engine=pg_dump" in answer["failed"]
    )
    assert answer["failed"].endswith("engines that can: pgbackrest") and server.asked == []


def test_a_timeline_is_refused_and_a_misspelt_option_too(
    host: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = asked_of(capsys, "restore", "--timeline", "3")
    assert code == 2 and answer["failed"].startswith("restore_timeline refused")
    with pytest.raises(SystemExit):
        asked_of(capsys, "full", "--pont", "x")


def test_a_dump_has_every_database_and_the_roles_and_leaves_nothing(
    host: dict[str, Any], server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[list[str]] = []
    monkeypatch.setattr(restic, "backup", lambda _, __, tags, *___: kept.append(tags) or (Saved("abcd", 1, 1), ""))
    code, answer = asked_of(capsys, "full", "--point", "20261123T100000Z-v1")
    assert code == 0, answer
    programs = [argv[0].rpartition("/")[2] for argv in server.asked]
    assert programs == ["pg_dumpall", "pg_dump", "pg_dump"]
    assert server.asked[2][-1] == r"dbname='it\'s' application_name=sluice-dump"
    assert len(kept) == 2 and kept[0][0] == "release" and "release=20261123T100000Z-v1" in kept[0]
    assert not (Path(host["staging"]) / "dump").exists()
    runs = json.loads(Path(dump_store.RUNS).read_text())
    assert {name: (run["ok"], run["stored"]) for name, run in runs.items()} == {
        "store": (True, 99),
        "local": (True, 99),
    }


def test_a_dump_that_failed_is_kept_nowhere(
    host: dict[str, Any], server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fails = "connection lost"
    monkeypatch.setattr(restic, "backup", lambda *_: pytest.fail("half a dump was kept"))
    code, answer = asked_of(capsys, "full")
    assert code == 1
    assert answer["lines"] == [
        f"{name}: FAILED: database shop: pg_dump: error: connection lost" for name in ("store", "local")
    ]
    assert not (Path(host["staging"]) / "dump").exists()


def test_a_run_that_was_killed_left_its_files_and_the_next_has_them_not(host: dict[str, Any], server: Server) -> None:
    left = Path(host["staging"]) / "dump" / "0"
    left.mkdir(parents=True)
    with dump_make.staged(host) as folder:
        assert list(Path(folder).iterdir()) == []


def test_a_store_that_fails_does_not_keep_the_next_from_its_dump(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unlock(repository: Any) -> None:
        if repository["name"] == "store":
            raise RepositoryError(Failure("unreachable", "it does not answer"))

    monkeypatch.setattr(restic, "unlock", unlock)
    code, answer = asked_of(capsys, "full")
    assert code == 1 and answer["lines"][0] == "store: FAILED: it does not answer" and answer["runs"]["local"]["ok"]


def test_retention_does_not_let_the_timers_dumps_push_out_those_of_releases(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(restic, "forget", lambda repository, *words: asked.append((repository["name"], *words)))
    assert asked_of(capsys, "full")[0] == 0
    assert asked[:2] == [
        ("store", "main", "dump", {"within": "2d", "weekly": 4}, "host"),
        ("store", "main", "release", {"within": "30d"}, "host"),
    ]


def test_a_dump_that_is_kept_while_old_ones_stay_is_red(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prune(_: Any) -> int:
        raise RepositoryError(Failure("damaged", "what is stored is damaged"))

    monkeypatch.setattr(restic, "prune", prune)
    code, answer = asked_of(capsys, "full")
    assert code == 1 and answer["lines"][0].endswith("it is backed up, but old backups stay: what is stored is damaged")


def test_half_a_snapshot_is_taken_away(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(restic, "backup", lambda *_: (Saved("abcd", 1, 1), "1 files could not be read"))
    monkeypatch.setattr(restic, "must", lambda _, *words, **__: asked.append(words) or "")
    code, answer = asked_of(capsys, "full")
    assert code == 1 and "1 files could not be read" in answer["lines"][0]
    assert asked[0] == ("forget", "--quiet", "abcd")


def test_another_clusters_history_is_added_to_by_nobody_else(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        dump_store, "look", lambda item, _=0: Repository(item["name"], 1, None, (NEWEST._replace(system_id=8),))
    )
    monkeypatch.setattr(restic, "backup", lambda *_: pytest.fail("it was added to"))
    code, answer = asked_of(capsys, "full")
    assert (
        code == 1
        and "dumps of another cluster (system 8)" in answer["lines"][0]
        and "playbooks/backup/restore.yml" in answer["lines"][0]
    )


def test_a_repository_whose_dumps_cannot_be_read_takes_none(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They could be another cluster's."""
    failed = Failure("other", "its list of snapshots cannot be read")
    monkeypatch.setattr(dump_store, "look", lambda item, _=0: Repository(item["name"], 1, failed, ()))
    monkeypatch.setattr(restic, "backup", lambda *_: pytest.fail("it was added to"))
    code, answer = asked_of(capsys, "full")
    assert code == 1 and answer["lines"][0] == "store: FAILED: its list of snapshots cannot be read"


def test_no_room_for_a_dump(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hosts, "free_bytes", lambda _: 2**20)
    code, answer = asked_of(capsys, "full")
    assert code == 1 and "has 0.0 GiB free and the dump needs 0.5" in answer["lines"][0]


def test_a_dump_that_would_fill_the_disk_is_stopped(
    host: dict[str, Any], server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = threading.Event()
    monkeypatch.setattr(dump_make, "free_bytes", lambda _: 2**20)
    monkeypatch.setattr(
        dump_make,
        "sql",
        lambda host, query: stopped.set() or "1" if query == dump_make.END else server.sql(host, query),
    )

    def dump(argv: list[str], *_: Any) -> Done:
        waits = argv[0].endswith("/pg_dump")
        return Done(int(not stopped.wait(10)), "", "") if waits else Done(0, "", "")

    monkeypatch.setattr(dump_make, "as_postgres", dump)
    code, answer = asked_of(capsys, "full")
    assert code == 1 and "database shop: its dump is larger than expected and was stopped before" in answer["lines"][0]
    assert not (Path(host["staging"]) / "dump").exists()


def test_the_status_is_red_for_a_store_that_is_down(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = asked_of(capsys, "status")
    assert code == 0 and answer["lines"][-1] == "healthy", answer
    down = Repository("store", 1, Failure("unreachable", "the object store does not answer"), ())
    monkeypatch.setattr(dump_store, "look", lambda item, _=0: down._replace(name=item["name"]))
    code, answer = asked_of(capsys, "status")
    assert code == 1 and answer["problems"][0] == "store: the object store does not answer"
    metrics = (Path(host["textfile"]) / "sluice_backup.prom").read_text()
    assert 'sluice_backup_success{repository="store"} 0' in metrics and "sluice_backup_wal" not in metrics


def test_a_server_that_is_down_is_in_the_status(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dump_program, "sql", lambda *_: (_ for _ in ()).throw(HostError("it does not answer")))
    code, answer = asked_of(capsys, "status")
    assert code == 1 and answer["problems"] == ["it cannot be dumped: it does not answer"]
