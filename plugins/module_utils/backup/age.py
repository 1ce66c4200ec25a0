# SPDX-License-Identifier: Apache-2.0
"""Whether backups are young enough for a release. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import HOUR, when


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
            + "; see playbooks/backup/status.yml, make one with sluice-backup full on the host"
        )
    if drill_max_age_hours is not None:
        limit = f"and app_backup.drill_max_age_hours is {drill_max_age_hours:g}; run playbooks/backup/drill.yml"
        if not drill:
            faults.append(f"no restore was ever proved here, {limit}")
        elif drill["verdict"] != "proved":
            faults.append(
                f"the last restore drill ({when(drill['begun'])}) {drill['verdict']}: {drill['reason']}, {limit}"
            )
        elif now - drill["begun"] > drill_max_age_hours * HOUR:
            faults.append(f"the last restore was proved at {when(drill['begun'])}, {limit}")
    return "; ".join(faults)
