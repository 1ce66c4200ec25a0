# SPDX-License-Identifier: Apache-2.0
"""The filter of role git_deploy: its decisions are pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.git_deploy import settings


class FilterModule:
    """Filters by the names templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The functions; their documentation is theirs."""
        return {"git_deploy_problems": settings.problems}
