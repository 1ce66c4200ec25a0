# SPDX-License-Identifier: Apache-2.0
"""app_rollback: what happens to the data when a release is rolled back or fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems, flag, struct, text

ROLLBACK = struct(
    {
        "data": text("forward", choices=("forward", "down", "restore")),
        "automatic": flag(False),  # also when a deploy fails after its migration
    },
    default={},
)


def check(contract: Mapping[str, Any], given: Mapping[str, Any], problems: Problems) -> None:
    """Check that the app supports its app_rollback."""
    wanted, migration = contract["app_rollback"], contract["app_migration"]
    data, raw = wanted["data"], given.get("app_rollback")

    def refuse(why: str) -> None:
        problems.add("app_rollback.data", f"is {data!r}, but {why}", raw)

    if data == "down":
        _check_down(migration, refuse)
    if data == "restore" and contract["app_backup"]["restore_point"] is False:
        refuse("app_backup.restore_point is false: a restore needs the restore point")
    if wanted["automatic"] and data == "forward":
        problems.add(
            "app_rollback.automatic",
            "is true, but app_rollback.data is 'forward', which does nothing: set it to 'down' or 'restore', or remove automatic",
            raw,
        )


def _check_down(migration: Mapping[str, Any] | None, refuse: Any) -> None:
    """Check what a migration tool needs for rollback."""
    if not migration:
        refuse("app_migration is not set: there is nothing to revert")
    elif migration["engine"] == "prisma":
        refuse(
            "prisma has no down migrations: set 'forward' or 'restore', or use the engine sql with <name>.down.sql files"
        )
    elif migration["engine"] == "command":
        for key, what in (("status", "lists the pending migrations"), ("down", "reverts them")):
            if not migration[key]:
                refuse(f"app_migration.{key} is not set: the command that {what}")
