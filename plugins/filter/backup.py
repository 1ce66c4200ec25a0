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
            "host_program_code": host_program.code_of,
            "repositories_incomplete": restic_settings.incomplete,
            "repository_authorities": restic_settings.authorities,
            "restic_folders": restic_settings.folders,
            "restic_repositories": restic_settings.repositories,
            "restic_secrets": restic_settings.secrets,
        }
