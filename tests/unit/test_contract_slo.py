# SPDX-License-Identifier: Apache-2.0
"""What an app may promise."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts


@pytest.mark.parametrize(
    ("slo", "message"),
    [
        ({}, "app_slo promises nothing: set availability, latency or both"),
        ({"availabilty": 99}, "app_slo.availabilty is not known: did you mean 'availability'?"),
        ({"availability": 100}, "app_slo.availability is 100: it must be 50 to 99.999"),
        ({"latency": 0.5}, "app_slo.latency must be a map like {p99: 0.5}, not 0.5"),
        (
            {"latency": {"99": 0.5}},
            "app_slo.latency.99 is not a quantile: it must be p and a percentage, like p99 or p99.9",
        ),
        (
            {"latency": {"p99": 0.3}},
            "app_slo.latency.p99 is 0.3: it must be one of 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, where the edge counts",
        ),
        ({"availability": 99, "window_days": 1}, "app_slo.window_days is 1: it must be 7 to 90"),
    ],
)
def test_wrong_promises(variables: Any, slo: dict[str, Any], message: str) -> None:
    with pytest.raises(contracts.ContractError) as error:
        contracts.resolve(variables(app_slo=slo))
    assert error.value.problems == [message]


def test_a_promise_is_no_part_of_a_release(variables: Any) -> None:
    assert contracts.resolve(variables(app_slo={"availability": 99.9}))["slo"]["window_days"] == 30
    assert contracts.resolve(variables())["slo"] is None
