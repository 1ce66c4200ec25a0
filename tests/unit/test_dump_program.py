# SPDX-License-Identifier: Apache-2.0
"""The backup program of an engine that dumps: what it refuses, keeps, and never leaves behind; with a server and a store that are not there."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, program, restic, restore_plan
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done, HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import (
    Backup,
    Failure,
    Repository,
    RepositoryError,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Saved
from ansible_collections.sluice.stack.plugins.module_utils.dump import drill as dump_drill
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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    for module in (drill, dump_make, dump_program, dump_restore):
        monkeypatch.setattr(module, "sql", found.sql)
    monkeypatch.setattr(dump_make, "as_postgres", found.run)
    return found


@pytest.fixture
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


@pytest.mark.parametrize(
    ("kind", "code", "verdict"),
    [
        ("unreachable", 2, "could not run"),
        ("locked", 2, "could not run"),
        ("key", 1, "failed"),
        ("absent", 1, "failed"),
        ("damaged", 1, "failed"),
        ("refused", 1, "failed"),
    ],
)
def test_what_a_stores_failure_means_for_a_drill(
    host: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    code: int,
    verdict: str,
) -> None:
    monkeypatch.setattr(dump_store, "look", lambda item, _=0: Repository(item["name"], 1, Failure(kind, "why"), ()))
    found, answer = asked_of(capsys, "drill")
    assert (found, answer["verdict"], answer["reason"]) == (code, verdict, "store: why")
    assert "sluice_backup_drill_proved 0" in (Path(host["textfile"]) / "sluice_backup_drill.prom").read_text()


def test_a_drill_of_nothing_and_one_without_room(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hosts, "free_bytes", lambda _: 2**20)
    code, answer = asked_of(capsys, "drill")
    assert code == 2 and "drill needs 0.5" in answer["reason"]
    monkeypatch.setattr(dump_store, "look", lambda item, _=0: Repository(item["name"], 1, None, ()))
    code, answer = asked_of(capsys, "drill")
    assert (code, answer["reason"]) == (1, "store: it holds no backup")


@pytest.mark.parametrize(("lost", "code"), [(3590.0, 0), (3601.0, 1)])
def test_a_drill_of_an_old_dump_fails(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lost: float, code: int
) -> None:
    monkeypatch.setattr(dump_drill, "_restore", lambda _, __, record: record.update(rto_seconds=1.0))
    monkeypatch.setattr(drill, "last_heartbeat", lambda _: time.time() - lost)
    monkeypatch.setattr(drill, "as_postgres", lambda *_, **__: Done(0, "", ""))
    assert asked_of(capsys, "drill")[0] == code


def test_a_restore_with_another_plans_id_does_nothing(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced(monkeypatch, plan=lambda *_: {"id": "2222222222"})
    monkeypatch.setattr(dump_restore.write_lock, "stop_jobs", lambda: pytest.fail("something was stopped"))
    code, answer = asked_of(capsys, "restore", "--confirm", "1111111111")
    assert code == 2 and "is not the plan, which is 2222222222" in answer["failed"]


def test_a_failure_before_the_exchange_leaves_nothing_and_is_told(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {
        "id": "2222222222",
        "repository": "store",
        "snapshot": NEWEST.id,
        "databases": [],
        "current": {},
        "moves": [],
    }
    removed: list[bool] = []
    replaced(monkeypatch, plan=lambda *_: made)
    monkeypatch.setattr(dump_restore.write_lock, "stop_jobs", lambda: None)
    monkeypatch.setattr(dump_restore, "_remove_restored", lambda _: removed.append(True))
    monkeypatch.setattr(
        dump_store, "fetch", lambda *_: (_ for _ in ()).throw(RepositoryError(Failure("damaged", "a pack is damaged")))
    )
    monkeypatch.setattr(dump_restore, "exchange", lambda *_: pytest.fail("something was exchanged"))
    code, answer = asked_of(capsys, "restore", "--confirm", "2222222222")
    assert (code, answer["failed"]) == (2, "a pack is damaged") and len(removed) == 2


def test_nothing_goes_back_from_a_restore_that_was_not_done(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dump_restore, "exchange", lambda *_: pytest.fail("something was exchanged"))
    assert asked_of(capsys, "revert", "--restore", "1111111111")[1]["failed"].endswith("none was done here")
    Path(dump_restore.RESTORED).write_text(json.dumps({"id": "2222222222", "current": {"shop": 4}}))
    assert asked_of(capsys, "revert", "--restore", "1111111111")[1]["failed"].endswith("the last one was 2222222222")
    answer = asked_of(capsys, "revert", "--restore", "2222222222")[1]
    assert "shop_before_2222222222 does not exist any more" in answer["failed"]


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


def test_dumps_that_tags_name_are_found_by_a_release(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    point = NEWEST._replace(release="20261123T100000Z-v1")
    monkeypatch.setattr(dump_store, "backup", lambda *_, **__: None)
    monkeypatch.setattr(dump_store, "look", lambda item, _=0: Repository(item["name"], 1, None, (NEWEST, point)))
    assert dump_store.restore_point(host, "20261123T100000Z-v1", 1) == {
        "name": "20261123T100000Z-v1",
        "system_id": "7",
        "time": "1970-01-01 00:00:01 UTC",
        "dump": "cccccccc",
    }
    with pytest.raises(restore_plan.Refused, match="there is no dump made before release"):
        dump_store.restore_point(host, "20261123T100001Z-v1", 1)


def test_a_rollback_with_data_asks_the_engine_before_it_keeps_anybody_out() -> None:
    """What `compare` refuses is refused while nothing is changed: the order of the playbooks says so."""
    playbooks = Path(__file__).resolve().parents[2] / "playbooks" / "parts"
    first = yaml.safe_load((playbooks / "rollback_data.yml").read_text())[0]
    assert first["ansible.builtin.import_playbook"] == "rollback_count.yml"
    count = (playbooks / "rollback_count.yml").read_text()
    assert "['compare', '--point'" in count and "maintenance: " not in count and "rewind" not in count
