# SPDX-License-Identifier: Apache-2.0
"""Backups of files: what counts as wrong, what a restore would do, exit codes; with repositories that are not there."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import program, restic, status
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import (
    Backup,
    Failure,
    Repository,
    RepositoryError,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.restic_output import Saved, Snapshot
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import program as files
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import restore as restores
from ansible_collections.sluice.stack.plugins.module_utils.file_backup.host import Missing

NOW = 1_800_000_000.0
HOUR = 3600.0
DOWN = RepositoryError(Failure("unreachable", "the object store does not answer"))
CHECKED = {"store": {"ok": True, "message": "", "since": NOW, "ended": NOW - HOUR, "stored": 7, "part": 1}}


def snapshot(source: str, hours: float, name: str = "4e77170a", size: int | None = 10) -> Backup:
    moment = NOW - hours * HOUR
    return Backup(name[:8], "full", moment, moment, size, id=name, path=source, source=source)


def store(*backups: Backup, failure: str = "") -> Repository:
    return Repository("store", 1, Failure("unreachable", failure) if failure else None, backups)


@pytest.fixture
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


def seen_of(host: dict[str, Any], *hours: float) -> list[Repository]:
    name = host["sources"][0]["name"]
    return [store(*(snapshot(name, age, f"{index}e77170a") for index, age in enumerate(hours)))]


def wanted(**words: str) -> argparse.Namespace:
    return argparse.Namespace(**{"source": "", "repository": "", "snapshot": "", "time": "", "to": "", **words})


def test_a_plan_goes_to_the_newest_of_that_moment(host: dict[str, Any]) -> None:
    seen = seen_of(host, 30, 6, 1)
    assert restores.plan(host, seen, wanted())["snapshot"] == "2e77170a"
    assert restores.plan(host, seen, wanted(time="2027-01-15T05:00:00Z"))["snapshot"] == "1e77170a"
    assert restores.plan(host, seen, wanted(snapshot="0e77"))["snapshot"] == "0e77170a"
    with pytest.raises(
        HostError, match=r"there is no snapshot of .* of 2020-01-01 .* or before: store: its oldest backup is of 2027"
    ):
        restores.plan(host, seen, wanted(time="2020-01-01T00:00:00Z"))
    with pytest.raises(HostError, match="there is no repository other; there are store"):
        restores.plan(host, seen, wanted(repository="other"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"time": "yesterday"}, "no time in ISO 8601"),
        ({"time": "2026-11-23T10:15:00"}, "has no zone"),
        ({"time": "2026-11-23T10:15:00Z", "snapshot": "ab"}, "name one"),
        ({"to": "uploads"}, "no absolute path"),
        ({"to": "/srv/../etc"}, "no absolute path"),
    ],
)
def test_what_cannot_be_asked_for(words: dict[str, str], said: str) -> None:
    with pytest.raises(HostError, match=said):
        restores.check(wanted(**words))


def test_a_plan_goes_stale_with_what_is_there(host: dict[str, Any]) -> None:
    folder = Path(host["sources"][0]["path"])
    first = restores.plan(host, seen_of(host, 1), wanted())
    assert restores.plan(host, seen_of(host, 1), wanted())["id"] == first["id"]
    assert first["aside"] == f"{folder}.before-{first['id']}"
    folder.rename(f"{folder}.other")
    folder.mkdir()
    assert restores.plan(host, seen_of(host, 1), wanted())["id"] != first["id"]
    with pytest.raises(HostError, match="exists: name a directory that does not exist yet"):
        restores.plan(host, seen_of(host, 1), wanted(to=str(folder)))


def restic_that_restores(monkeypatch: pytest.MonkeyPatch, host: dict[str, Any], error: Exception | None = None) -> None:
    """Restores one file, below the path the snapshot has it under."""

    def restore(_: Any, __: str, staging: str) -> None:
        folder = Path(staging + host["sources"][0]["path"])
        folder.mkdir(parents=True)
        (folder / "a").write_text("restored")
        if error:
            raise error

    monkeypatch.setattr(restic, "restore", restore)


def confirmed(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(files, "repositories", lambda _: seen_of(host, 1))
    made = restores.plan(host, seen_of(host, 1), wanted(**dict(zip(("to",), words, strict=False))))
    return run("restore", *(["--to", *words] if words else []), "--confirm", made["id"])


def test_a_restore_keeps_what_was_there_and_prints_the_way_back(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(host["sources"][0]["path"])
    (folder / "a").write_text("wrong")
    (folder.parent / ".sluice-files-0123456789" / "of one that was killed").mkdir(parents=True)
    restic_that_restores(monkeypatch, host)
    assert confirmed(host, monkeypatch) == 0
    assert (folder / "a").read_text() == "restored"
    (aside,) = folder.parent.glob("uploads.before-*")
    assert (aside / "a").read_text() == "wrong"
    assert not list(folder.parent.glob(".sluice-files-*"))
    back = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("to revert: "))
    os.system(back.removeprefix("to revert: "))
    assert (folder / "a").read_text() == "wrong"


def test_a_restore_to_another_directory_touches_nothing_else(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    restic_that_restores(monkeypatch, host)
    assert confirmed(host, monkeypatch, str(tmp_path / "look" / "here")) == 0
    assert (tmp_path / "look/here/a").read_text() == "restored"
    assert list(Path(host["sources"][0]["path"]).iterdir()) == []


def test_a_restore_that_fails_changes_nothing(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(host["sources"][0]["path"])
    (folder / "a").write_text("as it was")
    restic_that_restores(monkeypatch, host, RepositoryError(Failure("damaged", "what is stored is damaged")))
    assert confirmed(host, monkeypatch) == 2
    assert "what is stored is damaged" in capsys.readouterr().err
    assert [item.name for item in folder.parent.glob("*uploads*")] == ["uploads"]
    assert (folder / "a").read_text() == "as it was"


def test_a_restore_that_is_not_confirmed_changes_nothing(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "repositories", lambda _: seen_of(host, 1))
    monkeypatch.setattr(restic, "restore", lambda *_: pytest.fail("it is another plan"))
    assert run("--json", "restore", "--confirm", "0123456789") == 2
    assert "files_confirm=0123456789 is not the plan" in json.loads(capsys.readouterr().out)["failed"]


def test_containers_are_stopped_while_files_are_exchanged_and_started_again(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(host["sources"][0]["path"])
    told: list[str] = []
    monkeypatch.setattr(hosts, "users_of", lambda _: [{"id": "1", "name": "one"}, {"id": "2", "name": "two"}])
    monkeypatch.setattr(hosts, "stop", lambda item: told.append(f"stop {item['name']} {(folder / 'a').exists()}"))
    monkeypatch.setattr(hosts, "start", lambda item: told.append(f"start {item['name']} {(folder / 'a').exists()}"))
    restic_that_restores(monkeypatch, host)
    assert confirmed(host, monkeypatch) == 0
    assert told == ["stop one False", "stop two False", "start one True", "start two True"]


def test_containers_are_started_again_when_one_does_not_stop(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []

    def stop(item: dict[str, str]) -> None:
        if item["name"] == "two":
            raise HostError("container two: stop failed")

    monkeypatch.setattr(hosts, "users_of", lambda _: [{"id": "1", "name": "one"}, {"id": "2", "name": "two"}])
    monkeypatch.setattr(hosts, "stop", stop)
    monkeypatch.setattr(hosts, "start", lambda item: told.append(item["name"]))
    restic_that_restores(monkeypatch, host)
    assert confirmed(host, monkeypatch) == 2
    assert told == ["one", "two"] and "container two: stop failed" in capsys.readouterr().err
    assert list(Path(host["sources"][0]["path"]).iterdir()) == []


def test_a_host_that_was_never_provisioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "SETTINGS", str(tmp_path / "files.json"))
    with pytest.raises(HostError, match=r"no files of this host are backed up; set file_backup_paths"):
        hosts.file_settings()
