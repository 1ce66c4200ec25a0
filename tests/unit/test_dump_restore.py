# SPDX-License-Identifier: Apache-2.0
"""Drills and restores of dumps: what is judged, and what is left alone when something fails."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, restore_plan
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as hosts
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import Done
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Failure, Repository, RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.dump import drill as dump_drill
from ansible_collections.sluice.stack.plugins.module_utils.dump import restore as dump_restore
from ansible_collections.sluice.stack.plugins.module_utils.dump import store as dump_store

from tests.support import dump_program as support
from tests.support.dump_program import NEWEST, asked_of, replaced

server = pytest.fixture(support.server)
host = pytest.fixture(support.host)


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
