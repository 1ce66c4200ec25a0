# SPDX-License-Identifier: Apache-2.0
"""The backup program's verdicts and exit codes, with a host that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill as backup_drill
from ansible_collections.sluice.stack.plugins.module_utils.backup import program as backup_program
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore as backup_restore
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_plan as backup_restore_plan
from ansible_collections.sluice.stack.plugins.module_utils.backup import status as backup_status
from ansible_collections.sluice.stack.plugins.module_utils.backup import verdict as backup_verdict
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done, HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository

BACKUP = Backup("20261123-105919F", "full", 1.0, 2.0, 10 * 2**20, 5, "0" * 24, 7)
WELL = Repository("store", 1, None, (BACKUP,), "000000010000000000000009")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings whose places are all in a directory of the test."""
    for module in (backup_verdict, backup_program, backup_restore):
        monkeypatch.setattr(module, "STATE", str(tmp_path))
    monkeypatch.setattr(backup_verdict, "RECORD", str(tmp_path / "drill.json"))
    monkeypatch.setattr(backup_program, "RUNS", str(tmp_path / "runs.json"))
    settings = {
        "stanza": "main",
        "textfile": str(tmp_path),
        "repositories": [{"name": "store", "endpoint": ""}, {"name": "local", "endpoint": ""}],
        "drill_repository": "store",
        "drill_directory": str(tmp_path / "scratch"),
        "drill_port": 5499,
    }
    monkeypatch.setattr(backup_program, "settings", lambda: settings)
    return settings


def only(monkeypatch: pytest.MonkeyPatch, repository: Repository) -> None:
    monkeypatch.setattr(backup_drill, "repositories", lambda _: [repository])


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
    assert backup_program.main(["drill"]) == code
    kept = json.loads((tmp_path / "drill.json").read_text())
    assert kept["verdict"] == verdict and kept["reason"].startswith("store: ")
    assert "sluice_backup_drill_proved 0" in (tmp_path / "sluice_backup_drill.prom").read_text()


def test_a_drill_without_room_could_not_run(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, WELL)
    monkeypatch.setattr(backup_verdict, "free_bytes", lambda _: 2**20)
    assert backup_program.main(["drill"]) == 2
    assert "has 0.0 GiB free and the drill needs 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(HostError("x"), 2), (OSError("x"), 2), (backup_verdict.Broken("x"), 1)])
def test_what_stops_a_drill_is_never_green(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr(backup_drill, "_try", stop)
    assert backup_program.main(["drill"]) == code


def test_a_drill_of_an_unknown_repository(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert backup_program.main(["drill", "--repository", "moon"]) == 2
    assert capsys.readouterr().err == "there is no repository moon; there are store, local\n"


def test_a_repository_that_fails_does_not_keep_the_next_from_its_backup(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"--repo=1": Done(1, "", "ERROR: [049]: unable to connect to 'store1'"), "--repo=2": Done(0, "", "")}
    monkeypatch.setattr(backup_program, "pgbackrest", lambda _, repo, *words, timeout: answers[repo])
    runs = backup_program.make_backups(host, "full")
    assert {name: run["ok"] for name, run in runs.items()} == {"store": False, "local": True}
    assert "does not answer" in runs["store"]["message"]
    assert backup_status.told(runs)[0] == 1


def test_a_restore_with_another_plans_id_does_nothing(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_restore, "plan", lambda *_: {"id": "2222222222"})
    monkeypatch.setattr(backup_restore, "systemctl", lambda *_, **__: pytest.fail("something was stopped"))
    with pytest.raises(backup_restore.NotConfirmed, match="is not the plan, which is 2222222222"):
        backup_restore.execute(host, backup_restore_plan.Target("latest", "", None), "", "latest", "1111111111")


def test_answers_for_playbooks_are_json(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert backup_program.main(["--json", "restore", "--time", "yesterday"]) == 2
    assert "no time in ISO 8601" in json.loads(capsys.readouterr().out)["failed"]


@pytest.mark.parametrize(("configured", "raised"), [("40", ["max_connections"]), ("100", []), ("200", [])])
def test_a_server_set_to_less_than_its_data_ask_for_is_as_large_until_it_has_recovered(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, configured: str, raised: list[str]
) -> None:
    control = {"max_connections setting": "100", "max_wal_senders setting": "10"}
    monkeypatch.setattr(backup_restore, "control_data", lambda *_: control)
    answers = {"max_connections": configured, "max_wal_senders": "10"}
    monkeypatch.setattr(backup_restore, "as_postgres", lambda argv: Done(0, f"{answers.get(argv[-1], 0)}\n", ""))
    told = tmp_path / "postgresql.auto.conf"
    told.write_text("restore_command = 'x'\n")
    assert backup_restore.enlarge({**host, "version": "17", "data": str(tmp_path)}) == raised
    assert told.read_text() == "restore_command = 'x'\n" + "".join(f"{name} = 100\n" for name in raised)


def test_settings_nobody_understands_stop_a_recovery_before_it_begins(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backup_restore, "control_data", lambda *_: {"max_connections setting": "100"})
    monkeypatch.setattr(backup_restore, "as_postgres", lambda _: Done(1, "", "FATAL: syntax error"))
    with pytest.raises(HostError, match="/etc/postgresql/17/main are not understood: FATAL: syntax error"):
        backup_restore.enlarge({**host, "version": "17", "data": str(tmp_path)})
