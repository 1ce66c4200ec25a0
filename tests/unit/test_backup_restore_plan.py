# SPDX-License-Identifier: Apache-2.0
"""Which backup goes back to which moment, and what is said before it is done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Failure, Repository
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import restore

NOW = datetime(2026, 11, 23, 2, 53, 20, tzinfo=UTC).timestamp()
DAY = 86400.0


def backup(label: str, ended: float) -> Backup:
    return Backup(label, "full", ended - 60, ended, 10 * 2**20, 5, "0" * 24, 7)


BACKUPS = (backup("old", NOW - 3 * DAY), backup("middle", NOW - 2 * DAY), backup("new", NOW - DAY))
STORE = Repository("store", 1, None, BACKUPS, "000000010000000000000009")
LOCAL = Repository("local", 2, None, BACKUPS[2:], "000000010000000000000009")
DOWN = Repository("store", 1, Failure("unreachable", "the object store does not answer"), (), None)


def choose(
    monkeypatch: pytest.MonkeyPatch, repositories: list[Repository], wanted: plans.Target, name: str = ""
) -> tuple[Repository, Backup]:
    monkeypatch.setattr(restore, "repositories", lambda _: repositories)
    return restore.choose({}, wanted, name)


def options(wanted: plans.Target) -> list[str]:
    """pgBackRest's, beyond the backup and where WAL comes from."""
    return restore.recovery({"stanza": "main"}, 1, "old", wanted.kind, wanted.value)[2:]


def test_without_a_target_it_is_the_newest_backup_and_all_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plans.target("", "", NOW)
    assert choose(monkeypatch, [STORE, LOCAL], wanted) == (STORE, BACKUPS[2])
    assert options(wanted) == []


def test_a_time_takes_the_last_backup_that_had_ended_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plans.target("2026-11-21T04:00:00+01:00", "", NOW)
    assert choose(monkeypatch, [STORE, LOCAL], wanted)[1].label == "middle"
    assert "--target=2026-11-21 03:00:00+00:00" in options(wanted)


def test_a_release_says_itself_when_its_restore_point_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plans.target("", "20261122T010000Z-v1.4.2", NOW)
    assert choose(monkeypatch, [STORE], wanted)[1].label == "middle"
    assert options(wanted) == ["--type=name", "--target-action=promote", "--target=20261122T010000Z-v1.4.2"]


@pytest.mark.parametrize(
    ("time", "point", "said"),
    [
        ("2026-11-21T04:00:00Z", "20261122T010000Z-v1", "name one"),
        ("yesterday", "", "no time in ISO 8601"),
        ("2026-11-21T04:00:00", "", "has no zone"),
        ("2036-11-21T04:00:00Z", "", "is in the future"),
        ("", "before-lunch", "does not begin with its time"),
    ],
)
def test_a_target_that_is_none(time: str, point: str, said: str) -> None:
    with pytest.raises(plans.Refused, match=said):
        plans.target(time, point, NOW)


def test_a_moment_before_all_backups(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(plans.Refused) as refused:
        choose(monkeypatch, [DOWN, LOCAL], plans.target("2026-11-21T00:00:00Z", "", NOW))
    assert str(refused.value) == (
        "there is no backup to restore time 2026-11-21 00:00:00 UTC from: store: the object store does not answer; "
        "local: its oldest backup is of 2026-11-22 02:53:20 UTC"
    )


def test_a_repository_that_does_not_answer_is_passed_over_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    latest = plans.target("", "", NOW)
    assert choose(monkeypatch, [DOWN, LOCAL], latest)[0] is LOCAL
    with pytest.raises(plans.Refused, match="does not answer"):
        choose(monkeypatch, [DOWN, LOCAL], latest, "store")
    with pytest.raises(plans.Refused, match="no repository nowhere; there are store, local"):
        choose(monkeypatch, [STORE, LOCAL], latest, "nowhere")


def test_another_backup_is_another_plan() -> None:
    facts = {"host": "db1", "backup": "new", "kind": "latest"}
    assert plans.identity(facts) == plans.identity(dict(reversed(facts.items())))
    assert plans.identity(facts) != plans.identity({**facts, "backup": "newer"})


def made(**changes: Any) -> dict[str, Any]:
    return {
        "summary": "the last change in the archive",
        "repository": "store",
        "backup": "new",
        "backup_ended": NOW,
        "system_id": 7,
        "size": 2**20,
        "last_wal": "000000010000000000000009",
        "data": "/data",
        "host": "db1",
        "current": {"system_id": 7},
        "aside": "/data.before-1",
        "space": [{"folder": "/", "needed": 2**30, "free": 2**31}],
        "lost": "nothing",
        "id": "1",
        **changes,
    }


def test_a_plan_says_what_happens_to_what_is_there() -> None:
    assert "moved aside to /data.before-1" in "\n".join(restore.described(made()))
    assert "another cluster (system 8)" in "\n".join(restore.described(made(current={"system_id": 8})))
    assert "no cluster in it" in "\n".join(restore.described(made(current={"system_id": None})))
    assert restore.described(made())[-1] == "confirm   1"


def test_what_will_be_lost() -> None:
    latest, time = plans.target("", "", NOW), plans.target("2026-11-23T02:23:20Z", "", NOW)
    assert restore.lost(latest, "9", NOW, True, NOW).startswith("nothing")
    assert restore.lost(latest, "9", None, True, NOW) == "changes after the last WAL file in the archive, 9"
    assert restore.lost(latest, "9", NOW - 5, False, NOW).endswith("shipped 5 s ago")
    assert restore.lost(time, "9", None, True, NOW) == "all changes of the last 30.0 minutes"
