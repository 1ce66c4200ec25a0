# SPDX-License-Identifier: Apache-2.0
"""The part of the contract that says what becomes of the data when a release is taken back or fails."""

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
    """Whether the app can do what its environment asks for."""
    wanted, migration = contract["app_rollback"], contract["app_migration"]
    data, raw = wanted["data"], given.get("app_rollback")

    def refuse(why: str) -> None:
        problems.add("app_rollback.data", f"is {data!r}, and {why}", raw)

    if data == "down":
        _check_down(migration, refuse)
    if data == "restore" and contract["app_backup"]["restore_point"] is False:
        refuse("app_backup.restore_point is false: the restore point is what a restore goes back to")
    if wanted["automatic"] and data == "forward":
        problems.add(
            "app_rollback.automatic",
            "is true, and app_rollback.data is 'forward': there is nothing to do then; say 'down' or 'restore', or leave it out",
            raw,
        )


def _check_down(migration: Mapping[str, Any] | None, refuse: Any) -> None:
    """What a tool needs to undo."""
    if not migration:
        refuse("there is no app_migration that could be undone")
    elif migration["engine"] == "prisma":
        refuse(
            "prisma has no way back: say 'forward' or 'restore', or use the engine sql, whose migrations have a <name>.down.sql"
        )
    elif migration["engine"] == "command":
        for key, what in (("status", "tells which migrations a release brings"), ("down", "undoes them")):
            if not migration[key]:
                refuse(f"app_migration.{key} is not set: the command that {what}")
