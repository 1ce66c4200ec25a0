# SPDX-License-Identifier: Apache-2.0
"""One step of a split: what the record is after it, how long a flip lasts, and what it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.edge import record, records, split
from ansible_collections.sluice.stack.plugins.module_utils.edge.record import Record

NOW = 1000.0
WATCH = {"seconds": 10.0, "max_errors": 0.02, "min_requests": 100}


def step(state: str, **changes: Any) -> dict[str, Any]:
    given = {
        "state": state,
        "token": 1,
        "release": "r2",
        "slot": "green",
        "percent": 100,
        "seconds": 60.0,
        "watch": None,
    }
    page = {"notice": "Back at 14:00.", "retry_after": 300, "allow": ["192.0.2.7"]}
    return {**given, **page, **changes}


def live(release: str = "r1") -> Record:
    return record.adopt(record.empty("shop"), release=release, slot="blue", token=1)


def flipped(**changes: Any) -> Record:
    return split.after(live(), step("flip", **changes), NOW)


def test_a_flip_lasts_as_long_as_it_is_told_and_as_watching_takes() -> None:
    assert flipped()["deadline"] == NOW + 60
    assert flipped(watch=WATCH)["deadline"] == NOW + 70
    assert flipped(watch={**WATCH, "seconds": 0.0})["deadline"] == NOW + 60
    assert flipped(percent=25)["pending"] == {"release": "r2", "slot": "green", "percent": 25}


def test_each_state_is_its_change_of_the_record() -> None:
    before = flipped()
    assert split.after(before, step("confirm"), NOW + 1)["confirmed"] == {"release": "r2", "slot": "green"}
    assert split.after(before, step("abort"), NOW + 1)["pending"] is None
    assert split.after(before, step("abort", release="r9"), NOW + 1) == before
    assert split.after(before, step("adopt", release="r3", slot="blue"), NOW + 1)["confirmed"] == {
        "release": "r3",
        "slot": "blue",
    }
    closed = split.after(before, step("maintain"), NOW + 1)
    assert closed["maintenance"] == {
        "since": NOW + 1,
        "message": "Back at 14:00.",
        "retry_after": 300,
        "allow": ["192.0.2.7/32"],
    }
    assert closed["pending"] == before["pending"]
    assert split.after(closed, step("serve"), NOW + 2)["maintenance"] is None


def test_it_is_now_that_decides_whether_a_flip_is_in_time() -> None:
    split.after(flipped(), step("confirm"), NOW + 59.9)
    with pytest.raises(record.TooLate):
        split.after(flipped(), step("confirm"), NOW + 60)
    split.after(flipped(watch=WATCH), step("confirm"), NOW + 60)


def test_only_a_flip_away_from_another_release_is_watched() -> None:
    watch = split.limits(step("flip", watch=WATCH))
    assert watch and (watch.seconds, watch.min_requests) == (10.0, 100)
    assert split.limits(step("flip")) is split.limits(step("flip", watch={**WATCH, "seconds": 0.0})) is None
    # The same run gives the limits to each of its steps.
    assert split.limits(step("confirm", watch=WATCH)) is None
    assert split.compared(live("r1"), step("flip")) == "r1"
    assert split.compared(live("r2"), step("flip")) == ""
    assert split.compared(record.empty("shop"), step("flip")) == ""


def test_a_record_is_read_as_it_was_written_and_damage_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "EDGE_RECORDS", str(tmp_path))
    monkeypatch.setattr(records, "GROUP", None)
    assert records.read("shop") == record.empty("shop")
    records.write(flipped())
    assert records.read("shop") == flipped()
    assert Path(records.file("shop")).stat().st_mode & 0o777 == 0o640
    Path(records.file("shop")).write_text("{")
    with pytest.raises(record.Damaged, match="not JSON"):
        records.read("shop")
