# SPDX-License-Identifier: Apache-2.0
"""Whether backups are young enough for a release."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import age as backup_age
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository

NOW = 1_795_389_300.0
HOUR = 3600.0


def repository(name: str, *hours: float, failure: str = "") -> Repository:
    """One with backups that ended as many hours ago."""
    made = [
        Backup(f"{number}F", "full", NOW - age * HOUR - 60, NOW - age * HOUR, 1, 1, "", 1)
        for number, age in enumerate(sorted(hours, reverse=True))
    ]
    return Repository(name, 1, Failure("unreachable", failure) if failure else None, tuple(made), None)


def test_the_newest_backup_of_any_repository_counts() -> None:
    assert backup_age.newest([repository("store", 30, 6), repository("local", 50)]) == NOW - 6 * HOUR
    assert backup_age.newest([repository("store")]) is None


@pytest.mark.parametrize(
    ("ended", "after", "due"),
    [(NOW - 7 * HOUR, 6, True), (NOW - 5 * HOUR, 6, False), (None, 6, True), (None, None, False), (0.0, None, False)],
)
def test_when_a_backup_is_due(ended: float | None, after: float | None, due: bool) -> None:
    assert backup_age.is_due(ended, after, NOW) is due


PROVED = {"verdict": "proved", "begun": NOW - 20 * HOUR, "reason": "all well"}


def refusal(repositories: list[Repository], drill: Any, backup_hours: float | None, drill_hours: float | None) -> str:
    return backup_age.refusal(repositories, drill, backup_hours, drill_hours, NOW)


def test_what_is_young_enough_passes() -> None:
    assert refusal([repository("store", 5)], PROVED, 26, 192) == ""
    assert refusal([], None, None, None) == ""


def test_an_old_backup_is_refused_with_the_repositories_that_are_silent() -> None:
    said = refusal([repository("store", failure="does not answer"), repository("local", 27)], PROVED, 26, None)
    assert said.startswith("the newest backup is of 2026-") and "max_age_hours is 26 (store: does not answer)" in said
    assert refusal([repository("store", 27), repository("local", 2)], PROVED, 26, None) == ""
    assert "is not there" in refusal([repository("store")], PROVED, 26, None)


@pytest.mark.parametrize(
    ("drill", "said"),
    [
        (None, "no restore was ever tried"),
        ({**PROVED, "begun": NOW - 200 * HOUR}, "the last proved restore is 200 h old, more than 192 h"),
        ({**PROVED, "verdict": "failed", "reason": "a WAL file is missing"}, "failed: a WAL file is missing"),
        ({**PROVED, "verdict": "could not run", "reason": "no room"}, "could not run: no room"),
    ],
)
def test_a_drill_that_proves_nothing_now_is_refused(drill: Any, said: str) -> None:
    assert said in refusal([], drill, None, 192)
