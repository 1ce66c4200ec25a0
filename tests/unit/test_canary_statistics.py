# SPDX-License-Identifier: Apache-2.0
"""The canary's statistics beside the textbooks' tables and plain counting."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.canary import statistics


@pytest.mark.parametrize(
    ("t", "freedom", "tail"),
    [
        (6.3138, 1, 0.05),
        (4.3027, 2, 0.025),
        (2.3534, 3, 0.05),
        (2.8214, 9, 0.01),
        (2.7500, 30, 0.005),
        (3.3962, 29, 0.001),
    ],
)
def test_students_t_is_that_of_the_tables(t: float, freedom: int, tail: float) -> None:
    assert statistics.t_tail(t, freedom) == pytest.approx(tail, rel=1e-3)
    assert statistics.t_tail(-t, freedom) == pytest.approx(1 - tail, rel=1e-3)


def test_the_rank_test_counts_pairs() -> None:
    rng = random.Random("pairs")
    for shift in (0, 2):
        new, old = ([rng.randint(0, 9) for _ in range(size)] for size in (20, 30))
        cells = [
            statistics.Cell.of(
                {"requests": len(one), "errors": 0, "latency": {str(k): n for k, n in Counter(one).items()}}
            )
            for one in (new, old)
        ]
        pairs = [(a > b + shift) + (a == b + shift) / 2 for a in new for b in old]
        ((value, weight),) = statistics.latency_rows([[(cells[0], cells[1])]], shift)
        assert value / weight == pytest.approx(sum(pairs) / len(pairs) - 0.5)


def test_a_mean_of_blocks_has_the_error_of_their_spread() -> None:
    """With equal weights it is the textbook's mean and its standard error."""
    found = statistics.mean([(1.0, 1.0), (2.0, 1.0), (6.0, 1.0), (0.0, 0.0)])
    assert found is not None
    assert (found.value, found.freedom) == (3.0, 2)
    assert found.error == pytest.approx(math.sqrt(7 / 3))
    assert statistics.mean([(1.0, 5.0)]) is None


def test_trouble_that_lasts_longer_than_a_block_makes_it_less_sure() -> None:
    """The same values, mixed and in one piece: neighbours that are alike are not as many as they seem."""
    mixed = [(0.03 if block % 2 else -0.02, 1.0) for block in range(60)]
    pieces = sorted(mixed)
    assert [one.value for one in statistics.estimates(pieces)] == pytest.approx([0.005] * 3)
    assert max(one.error for one in statistics.estimates(pieces)) > 1.9 * statistics.estimates(pieces)[0].error
    assert max(one.error for one in statistics.estimates(mixed)) == statistics.estimates(mixed)[0].error
