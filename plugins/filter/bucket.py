# SPDX-License-Identifier: Apache-2.0
"""The filter of the playbook bucket: its decisions are pure functions of module_utils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import bucket


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters; documented in their .yml files."""
        return {"buckets": bucket.buckets}
