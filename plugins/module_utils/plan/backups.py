# SPDX-License-Identifier: Apache-2.0
"""What a release requires of the database host and its backups before it changes the data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import engine as engines
from ansible_collections.sluice.stack.plugins.module_utils.backup.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import Desired, PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import Manifest

# Key of app_backup → the engine capability it needs.
NEEDS = {
    "restore_point": "restore_point",
    "max_age_hours": "backup",
    "incremental_after_hours": "backup",
    "drill_max_age_hours": "drill",
}


def restore_point(desired: Desired, same: bool) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the restore point step, None when there is nothing to do; and a line for each limit of the engine.

    ``same``: the desired release is live. Raises PlanError when the engine cannot do what app_backup requires.
    """
    wanted = desired.contract["backup"]
    # An app without migrations may have no database at all.
    relevant = bool(desired.contract["migration"]) or desired.data == "restore" or any(wanted[name] for name in NEEDS)
    if desired.action != "deploy" or same or not relevant:
        return None, []
    chosen = _engine(desired)
    for name, action in NEEDS.items():
        if wanted[name]:
            _require(chosen, action, f"app_backup.{name}")
    # A restore point that is a full backup is set only when app_backup requires it.
    point = wanted["restore_point"] or (chosen.restore_point == "cheap" and wanted["restore_point"] is None)
    if not point and not any(wanted[name] for name in NEEDS if name != "restore_point"):
        return None, engines.limits(chosen)
    return {"host": desired.database["host"], "engine": chosen.name, "point": point, **wanted}, engines.limits(chosen)


def summary(step: Mapping[str, Any], release: str) -> str:
    """Describe the step for the printed plan."""
    parts = [
        f"back up if the newest backup is older than {step['incremental_after_hours']:g} h"
        if step["incremental_after_hours"]
        else "",
        f"requires a backup less than {step['max_age_hours']:g} h old" if step["max_age_hours"] else "",
        f"requires a successful drill less than {step['drill_max_age_hours']:g} h old"
        if step["drill_max_age_hours"]
        else "",
        _point(step, release) if step["point"] else "",
    ]
    return f"{step['host']}: {'; '.join(part for part in parts if part)}"


def _point(step: Mapping[str, Any], release: str) -> str:
    whole = engines.engine(step["engine"]).restore_point == "backup"
    return f"restore point {release}, {'a full backup' if whole else 'confirmed in the archive'}"


def rehearsal(desired: Desired, migrate: Mapping[str, Any] | None, live: Manifest | None) -> dict[str, Any] | None:
    """Return the rehearsal of the migrations and its hosts; None when there is none. Raises PlanError."""
    wanted = desired.contract["rehearsal"]
    if not migrate or not (desired.action == "rehearsal" or (desired.action == "deploy" and wanted["in_deploy"])):
        return None
    required_by = "playbooks/database/rehearse.yml" if desired.action == "rehearsal" else "app_rehearsal.in_deploy"
    _require(_engine(desired), "rehearsal", required_by)
    check = wanted["service"] and live and wanted["service"] in live["services"]
    return {
        "host": desired.database["host"],
        "on": migrate["host"],
        "live": live if check else {},
        "service": wanted["service"] if check else "",
        "command": wanted["command"],
        "timeout": wanted["timeout"],
    }


def _engine(desired: Desired) -> Engine:
    try:
        return engines.engine(desired.database["engine"])
    except engines.UnknownEngine as error:
        raise PlanError(str(error)) from error


def _require(chosen: Engine, action: str, required_by: str) -> None:
    try:
        engines.require(chosen, action, required_by)
    except engines.NotCapable as error:
        raise PlanError(str(error)) from error
