# SPDX-License-Identifier: Apache-2.0
"""What counts as wrong with backups, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import drill, status
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import program as pgbackrest_program

NOW = 1_800_000_000.0
HOST = {"max_age_hours": 26, "full_max_age_hours": 192, "max_waiting": 20, "drill_max_age_hours": 192}
ARCHIVER = {"failed": None, "failed_at": None, "archived_at": NOW - 30, "waiting": 0}
DRILL = {"verdict": "proved", "reason": "well", "begun": NOW - 3600, "rto_seconds": 4.5, "rpo_seconds": 31.0}


def backup(kind: str, hours: float) -> Backup:
    return Backup(f"{kind}-{hours}", kind, NOW - hours * 3600 - 60, NOW - hours * 3600, 10, 5, "0" * 24, 7)


def store(*backups: Backup, failure: Failure | None = None) -> Repository:
    return Repository("store", 1, failure, backups, "000000010000000000000009")


WELL = store(backup("full", 100), backup("incr", 4))


def wrong(
    repositories: list[Repository] | None = None, runs: dict[str, Any] | None = None, host: dict[str, Any] | None = None
) -> list[str]:
    return status.problems(host or HOST, [WELL] if repositories is None else repositories, runs or {}, NOW)


def test_healthy() -> None:
    assert wrong() == [] and status.of_drill(192, DRILL, NOW) == []
    assert pgbackrest_program._of_archiver(HOST, ARCHIVER) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repositories": [store()]}, "store: there is no backup yet"),
        (
            {"repositories": [store(failure=Failure("unreachable", "the object store does not answer"))]},
            "does not answer",
        ),
        ({"repositories": [store(backup("full", 27))]}, "the newest backup is 27 h old, more than 26 h"),
        ({"repositories": [store(backup("full", 200), backup("incr", 1))]}, "the newest full backup is 200 h old"),
        ({"runs": {"store": {"ok": False, "kind": "incr", "ended": NOW, "message": "no room"}}}, "failed: no room"),
    ],
)
def test_what_is_wrong(changes: dict[str, Any], said: str) -> None:
    lines = wrong(**changes)
    assert len(lines) == 1 and said in lines[0]


@pytest.mark.parametrize(
    ("archiver", "said"),
    [
        (None, "the database does not answer"),
        ({**ARCHIVER, "failed": "00A", "failed_at": NOW - 10}, "the archiver fails: 00A"),
        ({**ARCHIVER, "archived_at": None, "failed": "00A", "failed_at": NOW}, "the archiver fails"),
        ({**ARCHIVER, "waiting": 21}, "21 WAL files wait to be archived"),
    ],
)
def test_what_is_wrong_with_the_archiver(archiver: dict[str, Any] | None, said: str) -> None:
    (line,) = pgbackrest_program._of_archiver(HOST, archiver)
    assert said in line


def test_an_archiver_that_failed_and_works_again_is_healthy() -> None:
    assert pgbackrest_program._of_archiver(HOST, {**ARCHIVER, "failed": "00A", "failed_at": NOW - 31}) == []


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "no restore was ever tried"),
        ({**DRILL, "verdict": "could not run", "reason": "no room"}, "could not run: no room"),
        ({**DRILL, "begun": NOW - 200 * 3600}, "the last proved restore is 200 h old"),
    ],
)
def test_what_is_wrong_with_the_drill(record: dict[str, Any] | None, said: str) -> None:
    (line,) = status.of_drill(192, record, NOW)
    assert said in line


def test_a_host_that_is_not_drilled_says_so_by_zero() -> None:
    assert status.of_drill(0, None, NOW) == [] and status.of_drill(0, {**DRILL, "begun": 0.0}, NOW) == []


def test_a_drill_that_failed_is_wrong_whether_it_was_requested_or_not() -> None:
    record = {**DRILL, "verdict": "failed", "reason": "damaged"}
    (line,) = status.of_drill(0, record, NOW)
    assert "damaged" in line


def test_metrics_say_what_failed() -> None:
    runs = {"store": {"ok": False, "kind": "incr", "ended": NOW, "message": "no room"}}
    seen = status.Observed([WELL, Repository("local", 2, None, ())])
    text = status.metrics("sluice_backup", HOST, seen, runs, ["x"], NOW)
    assert 'sluice_backup_success{repository="store"} 0' in text
    assert 'sluice_backup_success{repository="local"} 0' in text
    assert f'sluice_backup_last_full_timestamp_seconds{{repository="store"}} {NOW - 360000:.0f}' in text
    assert "sluice_backup_problems 1\n" in text
    assert text.count("# TYPE sluice_backup_success gauge") == 1
    healthy = status.metrics("sluice_backup", HOST, status.Observed([WELL]), {}, [], NOW)
    assert 'sluice_backup_success{repository="store"} 1' in healthy


def test_a_drill_that_measured_nothing_shows_no_figures() -> None:
    assert "rto" not in drill.metrics({**DRILL, "verdict": "failed", "rto_seconds": None, "rpo_seconds": None})
    assert "sluice_backup_drill_rpo_seconds 31.000" in drill.metrics(DRILL)


def test_the_status_for_people_ends_with_what_is_wrong() -> None:
    seen = status.Observed([WELL])
    assert status.described(HOST, seen, {}, [], NOW)[-1] == "healthy"
    assert "PROBLEM: it burns" in status.described(HOST, seen, {}, ["it burns"], NOW)
