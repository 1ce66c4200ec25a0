# SPDX-License-Identifier: Apache-2.0
"""The figures of the database's bench: ratios within a round, medians over rounds."""

from __future__ import annotations

from tests.bench.database import GIB, summary

ROUNDS = [
    {"cp": cp, "backup_local": 4 * cp, "rto_local": 3 * cp, "drill_local": 9 * cp}
    | {"backup_store": 6 * cp, "rto_store": store, "drill_store": 2 * store}
    for cp, store in ((1.0, 10.0), (2.0, 30.0), (5.0, 20.0))
]


def test_ratios_are_taken_within_each_round() -> None:
    found = summary(ROUNDS, 2 * GIB)
    assert (found["backup_over_cp"], found["restore_over_cp"], found["backup_to_store_over_cp"]) == (4.0, 3.0, 6.0)
    assert found["restore_from_store_over_cp"] == 10.0  # of 10, 15 and 4


def test_the_time_for_one_gibibyte_follows_from_the_size() -> None:
    found = summary(ROUNDS, 2 * GIB)
    assert (found["rto_1gb_seconds"], found["drill_seconds"], found["database_gib"]) == (10.0, 40.0, 2.0)
