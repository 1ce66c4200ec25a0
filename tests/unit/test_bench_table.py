# SPDX-License-Identifier: Apache-2.0
"""The bench's figures: medians over rounds, ratios within a round."""

from __future__ import annotations

from tests.bench.measure import Timing
from tests.bench.table import Round, figures, lines


def a_round(slow: float, deploy8: float) -> Round:
    """Two sizes, on a machine that is ``slow`` times as slow as at its best."""
    remote = {"edge1": 3, "app1": 2, "app2": 2}
    return {
        ("ruler", 2): Timing(4 * slow, 1.0, {}, {"edge1": 10, "app1": 10}),
        ("deploy", 2): Timing(2 * slow, 0.5 * slow, {"fence": 0.5 * slow, "start": slow}, remote),
        ("added", 2): Timing(1 * slow),
        ("ruler", 8): Timing(10 * slow, 1.0, {}, {"edge1": 10}),
        ("deploy", 8): Timing(deploy8 * slow, 1.0, {}, remote),
    }


ROUNDS = [a_round(1.0, 4.0), a_round(5.0, 3.0), a_round(2.0, 5.0)]


def test_a_ratio_is_that_of_a_round_and_noise_that_falls_on_all_leaves_it() -> None:
    found = figures(ROUNDS)
    assert found["deploy_2_hosts_ruler"] == 0.5
    assert found["deploy_2_hosts_seconds"] == 4.0
    assert found["added_ruler"] == 0.25
    # Of 4/2, 3/2 and 5/2; the quotient of the medians would be 10/4.
    assert found["deploy_8_over_2_hosts"] == 2.0
    assert found["deploy_8_hosts_ruler"] == 0.4
    # (4 - 2)/6, (15 - 10)/6 and (10 - 4)/6
    assert found["seconds_per_added_host"] == 0.833


def test_tasks_and_processor_time_belong_to_commands_alone() -> None:
    found = figures(ROUNDS)
    assert found["deploy_2_hosts_cpu_seconds"] == 1.0
    assert (found["deploy_2_hosts_remote_tasks_per_app_host"], found["deploy_2_hosts_remote_tasks_per_edge"]) == (2, 3)
    assert "ruler_2_hosts_ruler" not in found and "added_cpu_seconds" not in found
    assert set(map(type, found.values())) <= {int, float}


def test_one_size_alone_has_a_table_too() -> None:
    alone = [{row: timing for row, timing in one.items() if row[1] == 2} for one in ROUNDS]
    assert "deploy_8_over_2_hosts" not in figures(alone) and "seconds_per_added_host" not in figures(alone)
    rows = {line.split()[0]: line.split()[1:] for line in lines(alone)}
    assert rows["deploy_2_hosts"] == ["4.00", "0.50", "1.00", "2", "3", "fence", "1.0,", "start", "2.0"]
    assert rows["added"] == ["2.00", "0.25"]
