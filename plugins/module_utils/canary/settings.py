# SPDX-License-Identifier: Apache-2.0
"""The settings of the canary's verdict, and the errors of invalid ones. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean


class SettingsError(Exception):
    """A setting is unknown, of a wrong type or out of its range; the message names it."""


@dataclass(frozen=True)
class Settings:
    """The settings of the verdict; shares are 0 to 1, alphas the chance of a false alarm over the whole canary."""

    # Requests of each arm below which nothing is compared. With the other defaults and four checks, 1 % errors that become
    # 3 % are found with this many in at least 95 of 100 windows.
    min_requests: int = 5000
    # Blocks in which both arms had requests. Four minutes are several times as long as a client retries: the verdict treats
    # different parts of a window as independent.
    min_blocks: int = 48
    # As in canary_window.
    block_seconds: float = 5.0
    # The number of checks over all steps and repeated windows: each alpha is divided by it.
    checks: int = 4
    error_alpha: float = 0.02
    latency_alpha: float = 0.02
    # For the two guards together.
    guard_alpha: float = 0.01
    # A smaller increase of the error share never fails; the larger one must be ruled out to pass.
    error_increase_matters: float = 0.005
    error_increase_refused: float = 0.015
    # The same for latency, as a factor.
    slowdown_matters: float = 1.2
    slowdown_refused: float = 1.5
    # The chance that a window passes although the release is as bad as the refused increase.
    pass_alpha: float = 0.05
    # The guards: absolute limits for the new release, whatever the old one does.
    max_error_share: float = 0.05
    max_p99_seconds: float = 5.0
    # Requests of the new release below which the guards do not apply.
    min_guard_requests: int = 50

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Settings:
        """Read settings from a mapping, with defaults. Raises SettingsError."""
        kinds: dict[str, type] = {field.name: type(field.default) for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in data.items():
            if name not in kinds:
                raise SettingsError(f"canary setting {name} is not known: {did_you_mean(name, kinds)}")
            try:
                parsed = float(str(value))
                values[name] = kinds[name](parsed)
                if values[name] != parsed:
                    raise ValueError
            except (ValueError, OverflowError) as error:
                wanted = "a whole number" if kinds[name] is int else "a number"
                raise SettingsError(f"canary setting {name} is {value!r}: it must be {wanted}") from error
            if not 0 < values[name] < math.inf:
                raise SettingsError(f"canary setting {name} is {value!r}: it must be above 0")
            if (name.endswith("_alpha") or name == "max_error_share" or name.startswith("error_")) and values[
                name
            ] >= 1:
                raise SettingsError(f"canary setting {name} is {value!r}: it is a share, 0 to 1")
            if name.startswith("slowdown_") and values[name] < 1:
                raise SettingsError(f"canary setting {name} is {value!r}: it is a factor, at least 1")
        settings = cls(**values)
        for name in ("error_increase", "slowdown"):
            matters, refused = getattr(settings, f"{name}_matters"), getattr(settings, f"{name}_refused")
            if matters >= refused:
                raise SettingsError(
                    f"canary setting {name}_matters is {matters:g}: it must be below {name}_refused, {refused:g}"
                )
        return settings
