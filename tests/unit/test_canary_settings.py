# SPDX-License-Identifier: Apache-2.0
"""What the canary is judged by: wrong settings are told, and the documentation has the defaults."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.canary import settings as canary_settings
from ansible_collections.sluice.stack.plugins.module_utils.canary.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"min_request": 10}, "canary setting min_request is not known: did you mean 'min_requests'?"),
        ({"checks": "often"}, "canary setting checks is 'often': it must be a whole number"),
        ({"checks": 0}, "canary setting checks is 0: it must be above 0"),
        ({"error_alpha": 5}, "canary setting error_alpha is 5: it is a share, 0 to 1"),
        ({"slowdown_matters": 0.2}, "canary setting slowdown_matters is 0.2: it is a factor, at least 1"),
        ({"slowdown_matters": 2}, "canary setting slowdown_matters is 2: it must be below slowdown_refused, 1.5"),
    ],
)
def test_a_wrong_setting_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        Settings.from_data(data)


def test_settings_come_as_text_from_templates() -> None:
    assert Settings.from_data({"checks": "6", "max_p99_seconds": "2.5"}) == Settings(checks=6, max_p99_seconds=2.5)


def test_the_modules_tell_the_defaults() -> None:
    modules = Path(canary_settings.__file__).parents[2] / "modules"
    told = dict(re.findall(r"C\((\w+)\)\s+\(([\d.]+)\)", (modules / "canary_verdict.py").read_text()))
    assert {name: float(value) for name, value in told.items()} == dataclasses.asdict(Settings())
    default = re.search(
        r'"block_seconds": \{"type": "float", "default": (\d+)\}', (modules / "canary_window.py").read_text()
    )
    assert default and float(default[1]) == Settings().block_seconds
