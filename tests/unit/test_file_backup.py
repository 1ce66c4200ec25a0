# SPDX-License-Identifier: Apache-2.0
"""Backups of files: what counts as wrong, what is kept, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import restic, status
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure, Repository, RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Saved, Snapshot
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import program as files
from ansible_collections.sluice.stack.plugins.module_utils.file_backup.host import Missing

from tests.support import file_backup as support
from tests.support.file_backup import HOUR, NOW, run, snapshot, store

host = pytest.fixture(support.host)

DOWN = RepositoryError(Failure("unreachable", "the object store does not answer"))
CHECKED = {"store": {"ok": True, "message": "", "since": NOW, "ended": NOW - HOUR, "stored": 7, "part": 1}}
TWO = {"sources": [{"name": "/srv/a"}, {"name": "volume:b"}], "max_age_hours": 26, "check_max_age_hours": 192}
WELL = store(snapshot("/srv/a", 4), snapshot("volume:b", 4))
FAILED = {"ok": False, "kind": "full", "message": "no room", "ended": NOW}


@pytest.mark.parametrize(
    ("seen", "runs", "checks", "said"),
    [
        (WELL, {}, CHECKED, []),
        (WELL, {}, {}, []),
        (store(failure="it does not answer"), {}, CHECKED, ["store: it does not answer"]),
        (store(snapshot("/srv/a", 4)), {}, CHECKED, ["store: volume:b: there is no backup yet"]),
        (
            store(snapshot("/srv/a", 27), snapshot("volume:b", 4)),
            {},
            CHECKED,
            ["store: /srv/a: the newest backup is 27 h old, more than 26 h"],
        ),
        (
            WELL,
            {"store: /srv/a": FAILED},
            CHECKED,
            ["store: /srv/a: the last backup (full, 2027-01-15 08:00:00 UTC) failed: no room"],
        ),
        (
            WELL,
            {},
            {"store": {**CHECKED["store"], "ok": False, "message": "what is stored is damaged"}},
            ["store: the last check (2027-01-15 07:00:00 UTC) failed: what is stored is damaged"],
        ),
        (
            WELL,
            {},
            {"store": {**CHECKED["store"], "ended": NOW - 193 * HOUR}},
            ["store: nothing of it was read again for 193 h"],
        ),
        (
            WELL,
            {},
            {"store": {**CHECKED["store"], "ended": None, "since": NOW - 200 * HOUR}},
            ["nothing of it was read again for 200 h"],
        ),
    ],
)
def test_what_is_wrong(seen: Repository, runs: dict[str, Any], checks: dict[str, Any], said: list[str]) -> None:
    lines = [*status.problems(TWO, [seen], runs, NOW), *files._of_check(TWO, "store", checks, NOW)]
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))


def test_metrics_say_what_failed(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    Path(files.CHECKS).write_text(json.dumps(CHECKED))
    seen = files.ENGINE.observe({**TWO, "repositories": []}, NOW)._replace(repositories=[WELL])
    text = status.metrics("sluice_files", TWO, seen, {"store: /srv/a": FAILED}, ["x"], NOW)
    assert 'sluice_files_success{repository="store",source="/srv/a"} 0\n' in text
    assert 'sluice_files_success{repository="store",source="volume:b"} 1\n' in text
    assert f'sluice_files_last_timestamp_seconds{{repository="store",source="/srv/a"}} {NOW - 4 * HOUR:.0f}\n' in text
    assert 'sluice_files_size_bytes{repository="store",source="/srv/a"} 10\n' in text
    assert 'sluice_files_check_success{repository="store"} 1\n' in text and "sluice_files_problems 1\n" in text
    names = [line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert names == sorted(names), "samples of one metric are together"


def test_the_size_of_a_snapshot_that_does_not_keep_it_is_of_the_run_that_made_it() -> None:
    old = store(snapshot("/srv/a", 1, "a9181f234d", None))
    assert status.size_of(old, {"snapshot": "a9181f23", "size": 5}) == 5
    assert status.size_of(old, {"snapshot": "other", "size": 5}) is None
    assert status.size_of(store(), None) is None


def test_a_backup_that_failed_keeps_old_snapshots_and_is_loud(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host["sources"].append({"name": "/nowhere", "path": "/nowhere", "volume": ""})
    forgotten: list[Any] = []
    monkeypatch.setattr(restic, "backup", lambda *_: (Saved("ab", 2**20, 5), ""))
    monkeypatch.setattr(restic, "forget", lambda *words: forgotten.append(words[2:4]))
    assert run("backup") == 1
    assert "store: /nowhere: FAILED: /nowhere does not exist" in capsys.readouterr().out
    assert forgotten == [(host["sources"][0]["name"], host["keep"])]
    runs = json.loads((tmp_path / "runs.json").read_text())
    good = f"store: {host['sources'][0]['name']}"
    assert {where: result["ok"] for where, result in runs.items()} == {good: True, "store: /nowhere": False}
    assert (
        'sluice_files_success{repository="store",source="/nowhere"} 0' in (tmp_path / "sluice_files.prom").read_text()
    )


def test_a_store_that_is_down_fails_every_source_and_not_the_next_repository(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host["repositories"].append({"name": "local", "endpoint": ""})

    def unlock(repository: dict[str, Any]) -> None:
        if repository["name"] == "store":
            raise DOWN

    monkeypatch.setattr(restic, "unlock", unlock)
    monkeypatch.setattr(restic, "backup", lambda *_: (Saved("ab", 2**20, 5), ""))
    assert run("backup") == 1
    out = capsys.readouterr().out
    assert f"store: {host['sources'][0]['name']}: FAILED: the object store does not answer" in out
    assert f"local: {host['sources'][0]['name']}: backed up 1.0 MiB" in out


def test_a_snapshot_that_misses_files_is_red(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic, "backup", lambda *_: (Saved("ab", 1, 1), "1 files could not be read"))
    monkeypatch.setattr(restic, "forget", lambda *_: pytest.fail("nothing makes room for it"))
    assert run("backup") == 1


def test_checks_read_one_part_after_the_other_and_a_failed_one_again(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parts: list[int] = []
    monkeypatch.setattr(restic, "check", lambda _, part, __: parts.append(part))
    assert [run("check") for _ in range(4)] == [0, 0, 0, 0]
    assert parts == [1, 2, 3, 1]

    def damaged(_: Any, part: int, __: int) -> None:
        parts.append(part)
        raise RepositoryError(Failure("damaged", "what is stored is damaged"))

    monkeypatch.setattr(restic, "check", damaged)
    monkeypatch.setattr(restic, "prune", lambda _: pytest.fail("prune writes anew what may be damaged"))
    assert [run("check"), run("check")] == [1, 1]
    assert parts[4:] == [2, 2]
    assert not json.loads((tmp_path / "checks.json").read_text())["store"]["ok"]


def test_the_first_run_backs_up_what_is_there_and_says_what_is_not(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host["sources"].append({"name": "/nowhere", "path": "/nowhere", "volume": ""})
    made: list[str] = []
    monkeypatch.setattr(restic, "initialise", lambda _: True)
    monkeypatch.setattr(restic, "backup", lambda _, __, tags, *___: made.extend(tags) or (Saved("ab", 1, 1), ""))
    assert run("first") == 0
    out = capsys.readouterr().out
    assert made == [host["sources"][0]["name"]] and "store: made" in out
    assert "/nowhere: /nowhere does not exist yet" in out


def test_the_first_run_adds_nothing_to_what_has_a_backup(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic, "initialise", lambda _: False)
    monkeypatch.setattr(restic, "change_passphrase", lambda _: False)
    monkeypatch.setattr(restic, "snapshots", lambda _: [Snapshot("4e77170a", NOW, host["sources"][0]["name"], "/", 10)])
    monkeypatch.setattr(restic, "backup", lambda *_: pytest.fail("an empty directory of a new host is no backup"))
    assert run("first") == 0


def test_a_first_run_that_cannot_open_a_repository_is_red(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: Any) -> bool:
        raise DOWN

    monkeypatch.setattr(restic, "snapshots", closed)
    assert run("first") == 1


def test_a_link_is_not_backed_up_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with pytest.raises(HostError, match=f"is a symbolic link: name {tmp_path}/there instead"):
        hosts.place({"path": str(tmp_path / "link"), "volume": ""})
    with pytest.raises(Missing):
        hosts.place({"path": str(tmp_path / "nowhere"), "volume": ""})


def test_a_source_has_to_be_named_when_there_are_several() -> None:
    with pytest.raises(HostError, match="there are several sources, name one: /srv/a, volume:b"):
        hosts.source_named(TWO, "")
    with pytest.raises(HostError, match="there is no source media: /srv/a, volume:b"):
        hosts.source_named(TWO, "media")
    assert hosts.source_named({"sources": [{"name": "/srv/a"}]}, "") == {"name": "/srv/a"}


def test_containers_use_what_they_mount_and_what_is_above_or_below_it() -> None:
    containers = [
        {"Id": "1", "Names": ["/below"], "Mounts": [{"Source": "/srv/uploads/2026"}]},
        {"Id": "2", "Names": ["/above"], "Mounts": [{"Source": "/srv"}]},
        {"Id": "3", "Names": ["/beside"], "Mounts": [{"Source": "/srv/uploads2"}]},
        {"Id": "4", "Names": ["/none"], "Mounts": [{"Source": ""}]},
    ]
    assert [item["name"] for item in hosts.overlapping(containers, "/srv/uploads")] == ["above", "below"]


def test_a_host_that_was_never_provisioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "SETTINGS", str(tmp_path / "files.json"))
    with pytest.raises(HostError, match=r"no files of this host are backed up; set file_backup_paths"):
        hosts.file_settings()
