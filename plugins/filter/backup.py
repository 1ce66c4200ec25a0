# SPDX-License-Identifier: Apache-2.0
"""The filters of the roles backup and file_backup: their decisions are pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import restic_settings
from ansible_collections.sluice.stack.plugins.plugin_utils import host_program


class FilterModule:
    """Filters by the names templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The functions; their documentation is theirs."""
        return {
            "host_program_parts": host_program.parts_of,
            "restic_repositories": restic_settings.repositories,
            "repository_secrets": restic_settings.secrets,
            "repositories_incomplete": restic_settings.incomplete,
        }
