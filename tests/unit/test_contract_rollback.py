# SPDX-License-Identifier: Apache-2.0
"""What an environment may ask for when a release is taken back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts

SQL = {"engine": "sql", "service": "backend", "path": "sql"}
TOOL = {"engine": "command", "service": "backend", "command": ["up"]}


@pytest.mark.parametrize(
    ("rollback", "more", "message"),
    [
        (
            {"data": "down"},
            {},
            "app_rollback.data is 'down', but prisma has no down migrations: set 'forward' or 'restore', or use the engine sql",
        ),
        ({"data": "down"}, {"app_migration": None}, "but app_migration is not set: there is nothing to revert"),
        (
            {"data": "down"},
            {"app_migration": {**TOOL, "down": ["d"]}},
            "but app_migration.status is not set: the command that lists",
        ),
        (
            {"data": "down"},
            {"app_migration": {**TOOL, "status": ["s"]}},
            "but app_migration.down is not set: the command that reverts them",
        ),
        ({"data": "restore"}, {}, "app_rollback.data is 'restore', but app_backup.restore_point is false"),
        ({"data": "dwon"}, {}, "app_rollback.data is 'dwon': did you mean 'down'?"),
        (
            {"automatic": True},
            {},
            "app_rollback.automatic is true, but app_rollback.data is 'forward', which does nothing",
        ),
    ],
)
def test_an_environment_asks_for_no_way_back_that_there_is_not(
    variables: Any, rollback: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(contracts.ContractError) as error:
        contracts.resolve(variables(app_rollback=rollback, **more))
    (line,) = error.value.problems
    assert message in line


def test_a_way_back_that_there_is_is_taken(variables: Any) -> None:
    assert contracts.resolve(variables(app_migration=SQL, app_rollback={"data": "down", "automatic": True}))[
        "rollback"
    ] == {
        "data": "down",
        "automatic": True,
    }
    assert contracts.resolve(variables())["rollback"] == {"data": "forward", "automatic": False}
