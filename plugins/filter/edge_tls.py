# SPDX-License-Identifier: Apache-2.0
"""The filters of role edge_tls: its decisions are pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.certificates import settings


class FilterModule:
    """Filters by the names templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The functions; their documentation is theirs."""
        return {"edge_tls_problems": settings.problems, "edge_tls_written": settings.written}
