# SPDX-License-Identifier: Apache-2.0
"""What may harm a protected environment needs its name typed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract.environment import (
    confirmed_environment,
    harm,
    wrong,
)

PRODUCTION = {"environment_name": "production", "environment_protected": True}


@pytest.mark.parametrize("variables", [{}, {"environment_name": "dev"}, {**PRODUCTION, "environment_protected": False}])
def test_an_environment_is_not_protected_by_itself(variables: dict[str, Any]) -> None:
    assert confirmed_environment(variables, "the restore") is None


@pytest.mark.parametrize("off", [False, "false", "No", "off", "0", 0, None, ""])
def test_values_that_mean_no(off: Any) -> None:
    assert confirmed_environment({**PRODUCTION, "environment_protected": off}, "the restore") is None


@pytest.mark.parametrize("on", [True, "true", "yes", 1, "{{ not_resolved }}", "maybe"])
def test_any_other_value_protects(on: Any) -> None:
    assert confirmed_environment({**PRODUCTION, "environment_protected": on}, "the restore") is not None


def test_the_name_typed() -> None:
    assert confirmed_environment({**PRODUCTION, "confirm_environment": "production"}, "the restore") is None


def test_no_name_typed() -> None:
    assert (
        confirmed_environment(PRODUCTION, "the restore")
        == "the restore in production is refused: this environment is protected. "
        "If production is meant, add -e confirm_environment=production"
    )


@pytest.mark.parametrize("typed", ["staging", "Production", "true", True, "prod"])
def test_another_name(typed: Any) -> None:
    assert confirmed_environment({**PRODUCTION, "confirm_environment": typed}, "the restore") == (
        f"the restore in production is refused: confirm_environment is {str(typed)!r}. "
        "If production is meant, add -e confirm_environment=production"
    )


def test_a_protected_environment_without_a_name() -> None:
    found = confirmed_environment({"environment_protected": True, "confirm_environment": ""}, "the restore")
    assert found is not None
    assert "environment_name is not" in found


def test_check_mode_changes_nothing() -> None:
    assert confirmed_environment({**PRODUCTION, "ansible_check_mode": True}, "the restore") is None
    assert confirmed_environment({**PRODUCTION, "ansible_check_mode": False}, "the restore") is not None


@pytest.mark.parametrize(
    ("action", "data", "gates", "variables", "found"),
    [
        ("deploy", "forward", [], {}, "deploy"),
        ("deploy", "forward", ["backup", "approval"], {}, None),
        ("deploy", "forward", [], {"environment_deploys": "free"}, None),
        ("rollback", "forward", [], {}, None),
        ("rollback", "down", [], {"environment_deploys": "free"}, "rollback with data 'down'"),
        ("rollback", "restore", [], {}, None),
        ("rollback", "restore", ["approval"], {"rollback_confirm": "r2"}, "rollback with data 'restore'"),
        ("remove", "forward", [], {}, None),
        ("remove", "forward", [], {"remove_confirm": "shop"}, "remove"),
        ("status", "forward", [], {"remove_confirm": "shop"}, None),
        ("chaos", "forward", ["approval"], {}, "a chaos experiment"),
    ],
)
def test_what_may_harm(action: str, data: str, gates: list[str], variables: dict[str, Any], found: str | None) -> None:
    assert harm(action, data, gates, variables) == found


def test_wrong_values() -> None:
    assert wrong(PRODUCTION) is None
    assert wrong({"environment_deploys": "fre"}) == "environment_deploys is 'fre': did you mean 'free'?"
    assert "must be letters" in str(wrong({"environment_name": "a b"}))
