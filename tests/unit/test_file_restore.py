# SPDX-License-Identifier: Apache-2.0
"""Restores of files: what one would do, what it keeps, and the containers that use them."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import restic
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure, Repository, RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import program as files
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import restore as restores

from tests.support import file_backup as support
from tests.support.file_backup import run, snapshot, store

host = pytest.fixture(support.host)


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
