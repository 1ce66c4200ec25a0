# SPDX-License-Identifier: Apache-2.0
"""What counts as wrong with backups, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import status
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository

NOW = 1_800_000_000.0
HOST = {"max_age_hours": 26, "full_max_age_hours": 192, "max_waiting": 20, "drill_max_age_hours": 192}
ARCHIVER = {"failed": None, "failed_at": None, "archived_at": NOW - 30, "waiting": 0}
DRILL = {"verdict": "proved", "reason": "well", "begun": NOW - 3600, "rto_seconds": 4.5, "rpo_seconds": 31.0}


def backup(kind: str, hours: float) -> Backup:
    return Backup(f"{kind}-{hours}", kind, NOW - hours * 3600 - 60, NOW - hours * 3600, 10, 5, "0" * 24, 7)


def store(*backups: Backup, failure: Failure | None = None) -> Repository:
    return Repository("store", 1, failure, backups, "000000010000000000000009")


WELL = store(backup("full", 100), backup("incr", 4))


def wrong(**changes: Any) -> list[str]:
    given: dict[str, Any] = {
        "host": HOST,
        "repositories": [WELL],
        "archiver": ARCHIVER,
        "runs": {},
        "drill": DRILL,
        "now": NOW,
    }
    return status.judge(**{**given, **changes})


def test_all_is_well() -> None:
    assert wrong() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repositories": [store()]}, "store: it holds no backup"),
        (
            {"repositories": [store(failure=Failure("unreachable", "the object store does not answer"))]},
            "does not answer",
        ),
        ({"repositories": [store(backup("full", 27))]}, "the newest backup is 27 h old, more than 26 h"),
        ({"repositories": [store(backup("full", 200), backup("incr", 1))]}, "the newest full backup is 200 h old"),
        ({"runs": {"store": {"ok": False, "kind": "incr", "ended": NOW, "message": "no room"}}}, "failed: no room"),
        ({"archiver": None}, "the database does not answer"),
        ({"archiver": {**ARCHIVER, "failed": "00A", "failed_at": NOW - 10}}, "the archiver fails: 00A"),
        ({"archiver": {**ARCHIVER, "archived_at": None, "failed": "00A", "failed_at": NOW}}, "the archiver fails"),
        ({"archiver": {**ARCHIVER, "waiting": 21}}, "21 WAL files wait to be archived"),
        ({"drill": None}, "no restore was ever tried"),
        ({"drill": {**DRILL, "verdict": "could not run", "reason": "no room"}}, "could not run: no room"),
        ({"drill": {**DRILL, "begun": NOW - 200 * 3600}}, "the last proved restore is 200 h old"),
    ],
)
def test_what_is_wrong(changes: dict[str, Any], said: str) -> None:
    lines = wrong(**changes)
    assert len(lines) == 1 and said in lines[0]


def test_an_archiver_that_failed_and_works_again_is_well() -> None:
    assert wrong(archiver={**ARCHIVER, "failed": "00A", "failed_at": NOW - 31}) == []


def test_a_host_that_is_not_drilled_says_so_by_zero() -> None:
    host = {**HOST, "drill_max_age_hours": 0}
    assert wrong(drill=None, host=host) == []
    assert wrong(drill={**DRILL, "begun": 0.0}, host=host) == []


def test_a_drill_that_failed_is_wrong_whether_it_was_asked_for_or_not() -> None:
    found = wrong(drill={**DRILL, "verdict": "failed", "reason": "damaged"}, host={**HOST, "drill_max_age_hours": 0})
    assert len(found) == 1 and "damaged" in found[0]


def test_metrics_say_what_failed() -> None:
    runs = {"store": {"ok": False, "kind": "incr", "ended": NOW, "message": "no room"}}
    text = status.metrics([WELL, Repository("local", 2, None, (), None)], ARCHIVER, runs, ["x"], NOW)
    assert 'sluice_backup_success{repository="store"} 0' in text
    assert 'sluice_backup_success{repository="local"} 0' in text
    assert f'sluice_backup_last_full_timestamp_seconds{{repository="store"}} {NOW - 360000:.0f}' in text
    assert "sluice_backup_problems 1\n" in text
    assert text.count("# TYPE sluice_backup_success gauge") == 1
    assert 'sluice_backup_success{repository="store"} 1' in status.metrics([WELL], None, {}, [], NOW)


def test_a_drill_that_measured_nothing_shows_no_figures() -> None:
    assert "rto" not in status.drill_metrics({**DRILL, "verdict": "failed", "rto_seconds": None, "rpo_seconds": None})
    assert "sluice_backup_drill_rpo_seconds 31.000" in status.drill_metrics(DRILL)


def test_the_status_for_people_ends_with_what_is_wrong() -> None:
    assert status.described([WELL], ARCHIVER, DRILL, [], NOW)[-1] == "all is well"
    assert "WRONG: it burns" in status.described([WELL], ARCHIVER, DRILL, ["it burns"], NOW)
