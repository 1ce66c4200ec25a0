# SPDX-License-Identifier: Apache-2.0
"""What a release asks of the database's host and its backups before it touches the data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import engine as engines
from ansible_collections.sluice.stack.plugins.module_utils.backup.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import Desired, PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import Manifest

# What app_backup may ask for, and the engine's capability that it takes.
NEEDS = {
    "restore_point": "restore_point",
    "max_age_hours": "backup",
    "incremental_after_hours": "backup",
    "drill_max_age_hours": "drill",
}


def restore_point(desired: Desired, same: bool) -> tuple[dict[str, Any] | None, list[str]]:
    """What a release has to do on the database's host, None when nothing; and what to tell of what cannot be done, a line each.

    ``same``: what is wanted is live. Raises PlanError when something is asked for that the engine cannot do.
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
    # One that costs a whole backup is made when somebody asks for it.
    point = wanted["restore_point"] or (chosen.restore_point == "cheap" and wanted["restore_point"] is None)
    if not point and not any(wanted[name] for name in NEEDS if name != "restore_point"):
        return None, engines.limits(chosen)
    return {"host": desired.database["host"], "engine": chosen.name, "point": point, **wanted}, engines.limits(chosen)


def summary(step: Mapping[str, Any], release: str) -> str:
    """The step as a plan tells it."""
    parts = [
        f"a backup, when the newest is older than {step['incremental_after_hours']:g} h"
        if step["incremental_after_hours"]
        else "",
        f"not without a backup of the last {step['max_age_hours']:g} h" if step["max_age_hours"] else "",
        f"not without a drill of the last {step['drill_max_age_hours']:g} h that proved a restore"
        if step["drill_max_age_hours"]
        else "",
        _point(step, release) if step["point"] else "",
    ]
    return f"{step['host']}: {'; '.join(part for part in parts if part)}"


def _point(step: Mapping[str, Any], release: str) -> str:
    whole = engines.engine(step["engine"]).restore_point == "backup"
    return f"restore point {release}, {'which is a whole backup' if whole else 'seen in the archive'}"


def rehearsal(desired: Desired, migrate: Mapping[str, Any] | None, live: Manifest | None) -> dict[str, Any] | None:
    """The rehearsal of the migrations, and on which hosts; None when there is none. Raises PlanError."""
    wanted = desired.contract["rehearsal"]
    if not migrate or not (desired.action == "rehearsal" or (desired.action == "deploy" and wanted["in_deploy"])):
        return None
    asked_by = "playbooks/database/rehearse.yml" if desired.action == "rehearsal" else "app_rehearsal.in_deploy"
    _require(_engine(desired), "rehearsal", asked_by)
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


def _require(chosen: Engine, action: str, asked_by: str) -> None:
    try:
        engines.require(chosen, action, asked_by)
    except engines.NotCapable as error:
        raise PlanError(str(error)) from error
