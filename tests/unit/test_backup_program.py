# SPDX-License-Identifier: Apache-2.0
"""The backup program's verdicts and exit codes, with a host that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, program
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done, HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client, restore
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import program as pgbackrest_program

BACKUP = Backup("20261123-105919F", "full", 1.0, 2.0, 10 * 2**20, 5, "0" * 24, 7)
WELL = Repository("store", 1, None, (BACKUP,), "000000010000000000000009")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings whose places are all in a directory of the test."""
    for module in (drill, restore):
        monkeypatch.setattr(module, "STATE", str(tmp_path))
    monkeypatch.setattr(drill, "RECORD", str(tmp_path / "drill.json"))
    settings = {
        "stanza": "main",
        "textfile": str(tmp_path),
        "repositories": [{"name": "store", "endpoint": ""}, {"name": "local", "endpoint": ""}],
        "drill_repository": "store",
        "drill_directory": str(tmp_path / "scratch"),
        "drill_port": 5499,
    }
    engine = pgbackrest_program.ENGINE._replace(settings=lambda: settings, state=str(tmp_path), skips=lambda _: "")
    monkeypatch.setattr(pgbackrest_program, "ENGINE", engine)
    return settings


def run(*words: str) -> int:
    return program.main(pgbackrest_program.ENGINE, words)


def only(monkeypatch: pytest.MonkeyPatch, repository: Repository) -> None:
    monkeypatch.setattr(client, "repositories", lambda _: [repository])


@pytest.mark.parametrize(
    ("repository", "code", "verdict"),
    [
        (Repository("store", 1, Failure("unreachable", "it does not answer"), (), None), 2, "could not run"),
        (Repository("store", 1, Failure("key", "it cannot be decrypted"), (), None), 1, "failed"),
        (Repository("store", 1, Failure("empty", "it holds no backup"), (), None), 1, "failed"),
        (Repository("store", 1, None, (), None), 1, "failed"),
    ],
)
def test_what_a_repositorys_state_means_for_a_drill(
    host: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    repository: Repository,
    code: int,
    verdict: str,
) -> None:
    only(monkeypatch, repository)
    assert run("drill") == code
    kept = json.loads((tmp_path / "drill.json").read_text())
    assert kept["verdict"] == verdict and kept["reason"].startswith("store: ")
    assert "sluice_backup_drill_proved 0" in (tmp_path / "sluice_backup_drill.prom").read_text()


def test_a_drill_without_room_could_not_run(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, WELL)
    monkeypatch.setattr(hosts, "free_bytes", lambda _: 2**20)
    assert run("drill") == 2
    assert "has 0.0 GiB free and the drill needs 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(HostError("x"), 2), (OSError("x"), 2), (drill.Broken("x"), 1)])
def test_what_stops_a_drill_is_never_green(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr(client, "newest", stop)
    assert run("drill") == code


def test_a_drill_of_an_unknown_repository(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("drill", "--repository", "moon") == 2
    assert capsys.readouterr().err == "there is no repository moon; there are store, local\n"


def test_a_repository_that_fails_does_not_keep_the_next_from_its_backup(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"--repo=1": Done(1, "", "ERROR: [049]: unable to connect to 'store1'"), "--repo=2": Done(0, "", "")}
    monkeypatch.setattr(client, "pgbackrest", lambda _, repo, *words, timeout: answers[repo])
    monkeypatch.setattr(program, "look", lambda *_: {})
    assert run("--json", "full") == 1
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert {name: result["ok"] for name, result in runs.items()} == {"store": False, "local": True}
    assert "does not answer" in runs["store"]["message"]
    assert json.loads((tmp_path / "runs.json").read_text()) == runs


# As pgBackRest reports a repository without a backup, and as restic does.
@pytest.mark.parametrize("failure", [Failure("absent", "it holds no backup: no valid backups"), None])
def test_the_first_run_backs_up_where_there_is_no_backup_yet(
    host: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: Failure | None,
) -> None:
    empty = Repository("local", 2, failure, ())
    engine = pgbackrest_program.ENGINE._replace(
        prepare=lambda _: program.Prepared([], []), repositories=lambda _: [WELL, empty]
    )
    kinds: list[tuple[str, ...]] = []
    monkeypatch.setattr(client, "pgbackrest", lambda _, *words, timeout: kinds.append(words[:2]) or Done(0, "", ""))
    monkeypatch.setattr(program, "look", lambda *_: {})
    assert program.main(engine, ["first"]) == 0
    assert kinds == [("--repo=2", "--type=full")] and capsys.readouterr().out.startswith("local: backed up in ")


@pytest.mark.parametrize("command", ["first", "full", "incr"])
def test_a_standby_backs_nothing_up(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(client, "pgbackrest", lambda *_, **__: pytest.fail("a standby was backed up"))
    engine = pgbackrest_program.ENGINE._replace(skips=lambda _: "a standby: its primary is backed up")
    assert program.main(engine, [command]) == 0
    assert capsys.readouterr().out == "a standby: its primary is backed up\n"


def test_a_restore_with_another_plans_id_does_nothing(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    engine = pgbackrest_program.ENGINE._replace(
        plan=lambda *_: {"id": "2222222222"}, restore=lambda *_: pytest.fail("it was restored")
    )
    assert program.main(engine, ["restore", "--confirm", "1111111111"]) == 2
    assert "restore_confirm=1111111111 is not the plan, which is 2222222222" in capsys.readouterr().err


def test_answers_for_playbooks_are_json(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restore.os.path, "isdir", lambda _: True)
    assert run("--json", "restore", "--time", "yesterday") == 2
    assert "no time in ISO 8601" in json.loads(capsys.readouterr().out)["failed"]


@pytest.mark.parametrize(("configured", "raised"), [("40", ["max_connections"]), ("100", []), ("200", [])])
def test_a_server_set_to_less_than_its_data_ask_for_is_as_large_until_it_has_recovered(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, configured: str, raised: list[str]
) -> None:
    control = {"max_connections setting": "100", "max_wal_senders setting": "10"}
    monkeypatch.setattr(restore, "control_data", lambda *_: control)
    answers = {"max_connections": configured, "max_wal_senders": "10"}
    monkeypatch.setattr(restore, "as_postgres", lambda argv: Done(0, f"{answers.get(argv[-1], 0)}\n", ""))
    told = tmp_path / "postgresql.auto.conf"
    told.write_text("restore_command = 'x'\n")
    assert restore.enlarge({**host, "version": "17", "data": str(tmp_path)}) == raised
    assert told.read_text() == "restore_command = 'x'\n" + "".join(f"{name} = 100\n" for name in raised)


def test_settings_nobody_understands_stop_a_recovery_before_it_begins(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(restore, "control_data", lambda *_: {"max_connections setting": "100"})
    monkeypatch.setattr(restore, "as_postgres", lambda _: Done(1, "", "FATAL: syntax error"))
    with pytest.raises(HostError, match="/etc/postgresql/17/main are not understood: FATAL: syntax error"):
        restore.enlarge({**host, "version": "17", "data": str(tmp_path)})
