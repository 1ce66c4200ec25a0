# SPDX-License-Identifier: Apache-2.0
"""The filters that make the rules of Prometheus and the configuration of Alertmanager: pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.monitoring import alertmanager, rules


class FilterModule:
    """Filters by the names templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The functions; their documentation is theirs."""
        return {
            "alert_rules": rules.rules,
            "alert_rules_problems": rules.problems,
            "alertmanager_config": alertmanager.config,
            "alertmanager_secrets": alertmanager.secrets,
            "alertmanager_problems": alertmanager.problems,
        }
