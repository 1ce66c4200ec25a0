# SPDX-License-Identifier: Apache-2.0
"""The filters of role monitoring: its decisions are pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.monitoring import prometheus


class FilterModule:
    """Filters by the names templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The functions; their documentation is theirs."""
        return {
            "monitoring_blackbox": prometheus.blackbox,
            "monitoring_config": prometheus.config,
            "monitoring_routes": prometheus.routes,
            "monitoring_targets": prometheus.targets,
        }
