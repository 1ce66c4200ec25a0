# SPDX-License-Identifier: Apache-2.0
"""Engines say what they can do, and are asked before anything relies on them."""

from __future__ import annotations

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.backup import engine as engines


@pytest.mark.parametrize(
    ("name", "able"),
    [
        ("pgbackrest", set(engines.ACTIONS)),
        ("pg_dump", {"backup", "restore", "restore_to_point", "restore_point", "drill"}),
        ("external", set()),
        ("none", set()),
    ],
)
def test_what_an_engine_can_do(name: str, able: set[str]) -> None:
    chosen = engines.engine(name)
    assert {action for action in engines.ACTIONS if engines.can(chosen, action)} == able


def test_an_action_without_the_capability_is_refused_and_says_who_could() -> None:
    with pytest.raises(engines.NotCapable) as refused:
        engines.require(engines.engine("pg_dump"), "restore_to_time")
    assert str(refused.value) == (
        "restore_to_time refused: the data is backed up by a logical dump of each database (backup_engine=pg_dump), and it can only restore "
        "moments at which a backup was made; engines that can: pgbackrest"
    )
    engines.require(engines.engine("pgbackrest"), "restore_to_time")


def test_a_plan_prints_what_the_engine_cannot_do() -> None:
    said = {name: engines.limits(chosen) for name, chosen in engines.ENGINES.items()}
    assert said["pgbackrest"] == []
    assert "would be lost with the host" in said["pg_dump"][0] and "moment of a backup" in said["pg_dump"][1]
    assert "its provider" in said["external"][0] and "nobody" in said["none"][0]


def test_a_misspelt_engine() -> None:
    with pytest.raises(engines.UnknownEngine, match="did you mean 'pgbackrest'"):
        engines.engine("pgbackrst")
