# SPDX-License-Identifier: Apache-2.0
"""Whether backups are young enough for a release. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import HOUR, of_drill, when


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
    """Return why the release must not go on, in one line; empty when it may. ``drill`` is the last drill's record."""
    faults = []
    ended = newest(repositories)
    if max_age_hours is not None and is_due(ended, max_age_hours, now):
        unreachable = [f"{item.name}: {item.failure.message}" for item in repositories if item.failure]
        age = f"is of {when(ended)}" if ended else "is not there"
        faults.append(
            f"the newest backup {age}, and app_backup.max_age_hours is {max_age_hours:g}"
            + (f" ({'; '.join(unreachable)})" if unreachable else "")
            + "; see playbooks/backup/status.yml, make one with sluice-backup full on the host"
        )
    if drill_max_age_hours is not None:
        limit = f"app_backup.drill_max_age_hours is {drill_max_age_hours:g}; run playbooks/backup/drill.yml"
        faults += [f"{fault}, and {limit}" for fault in of_drill(drill_max_age_hours, drill, now)]
    return "; ".join(faults)
