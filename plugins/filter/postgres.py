# SPDX-License-Identifier: Apache-2.0
"""Filters of the role postgres: its decisions are pure functions of module_utils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.postgres import settings as postgres_settings
from ansible_collections.sluice.stack.plugins.module_utils.postgres import standby as postgres_standby


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters; documented in their .yml files."""
        return {
            "postgres_tuned": postgres_settings.tuned,
            "postgres_restarts": postgres_settings.restarts,
            "postgres_control": postgres_standby.control,
            "postgres_at_least": postgres_standby.at_least,
            "postgres_standby_step": postgres_standby.step,
        }
