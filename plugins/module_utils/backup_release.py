# SPDX-License-Identifier: Apache-2.0
"""What a release asks of the backups before it touches the data: a restore point, and that they are young enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import backup_engine as engines
from ansible_collections.sluice.stack.plugins.module_utils.backup_repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup_status import HOUR, when

# What app_backup may ask for, and the engine's capability that it takes.
NEEDS = {
    "restore_point": "restore_point",
    "max_age_hours": "backup",
    "incremental_after_hours": "backup",
    "drill_max_age_hours": "drill",
}


def asked(contract: Mapping[str, Any], database: Mapping[str, str]) -> tuple[dict[str, Any] | None, list[str]]:
    """What a release has to do on the database's host, None when nothing; and what to tell of what cannot be done, a line each.

    ``database`` is {host, engine}. Raises engines.NotCapable or engines.UnknownEngine when something is asked for that the engine cannot do.
    """
    wanted = contract["backup"]
    # An app without migrations may have no database at all.
    relevant = bool(contract["migration"]) or any(wanted[name] for name in NEEDS)
    if not relevant:
        return None, []
    chosen = engines.engine(database["engine"])
    for name, action in NEEDS.items():
        if wanted[name]:
            engines.require(chosen, action, f"app_backup.{name}")
    point = chosen.restore_point == "cheap" and wanted["restore_point"] is not False
    if not point and not any(wanted[name] for name in NEEDS if name != "restore_point"):
        return None, engines.limits(chosen)
    return {"host": database["host"], "engine": chosen.name, "point": point, **wanted}, engines.limits(chosen)


def words(step: Mapping[str, Any], release: str) -> str:
    """The step as a plan tells it."""
    parts = [
        f"a backup, when the newest is older than {step['incremental_after_hours']:g} h"
        if step["incremental_after_hours"]
        else "",
        f"not without a backup of the last {step['max_age_hours']:g} h" if step["max_age_hours"] else "",
        f"not without a drill of the last {step['drill_max_age_hours']:g} h that proved a restore"
        if step["drill_max_age_hours"]
        else "",
        f"restore point {release}, seen in the archive" if step["point"] else "",
    ]
    return f"{step['host']}: {'; '.join(part for part in parts if part)}"


def newest(repositories: Sequence[Repository]) -> float | None:
    """When the newest backup ended, over the repositories that answer; None when there is none."""
    return max((item.newest.ended for item in repositories if item.newest), default=None)


def is_due(ended: float | None, after_hours: float | None, now: float) -> bool:
    """Whether a backup has to be made first."""
    return after_hours is not None and (ended is None or now - ended > after_hours * HOUR)


def refusal(
    repositories: Sequence[Repository],
    drill: Mapping[str, Any] | None,
    max_age_hours: float | None,
    drill_max_age_hours: float | None,
    now: float,
) -> str:
    """Why the release may not go on, in one line; empty when it may. ``drill`` is the last drill's record."""
    faults = []
    ended = newest(repositories)
    if max_age_hours is not None and is_due(ended, max_age_hours, now):
        silent = [f"{item.name}: {item.failure.message}" for item in repositories if item.failure]
        age = f"is of {when(ended)}" if ended else "is not there"
        faults.append(
            f"the newest backup {age}, and app_backup.max_age_hours is {max_age_hours:g}"
            + (f" ({'; '.join(silent)})" if silent else "")
            + "; see backup_status.yml, make one with sluice-backup incr on the host"
        )
    if drill_max_age_hours is not None:
        limit = f"and app_backup.drill_max_age_hours is {drill_max_age_hours:g}; run restore_drill.yml"
        if not drill:
            faults.append(f"no restore was ever proved here, {limit}")
        elif drill["verdict"] != "proved":
            faults.append(
                f"the last restore drill ({when(drill['begun'])}) {drill['verdict']}: {drill['reason']}, {limit}"
            )
        elif now - drill["begun"] > drill_max_age_hours * HOUR:
            faults.append(f"the last restore was proved at {when(drill['begun'])}, {limit}")
    return "; ".join(faults)
