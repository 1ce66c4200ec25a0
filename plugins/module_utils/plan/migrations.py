# SPDX-License-Identifier: Apache-2.0
"""Which migrations a run applies, and what happens to those of a release that is rolled back. Pure.

See docs/decisions/0016-schema-and-data-on-rollback.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import engine as engines
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import (
    Desired,
    PlanError,
    with_living_secrets,
)
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest


def migration(
    desired: Desired, target: Manifest, live: Manifest | None, apps: Sequence[str], *, restored: bool
) -> dict[str, Any] | None:
    """Return the migration to run and its host: the first reachable app host of the inventory.

    A release with the same migrating image as the live one brings no new migration, unless the data was ``restored`` since. The live
    release's own migrations passed the gate before, and no older release is live.
    """
    wanted = target["migration"]
    if desired.action not in ("deploy", "rehearsal") or not wanted:
        return None
    service = wanted["service"]
    same = live is not None and live["migration"] == wanted and service in live["services"]
    again = bool(same and live and live["services"][service]["image"] == target["services"][service]["image"])
    if again and not restored:
        return None
    served = (live or {"services": {}})["services"].get(service)
    gate = "warn" if again and wanted["gate"] == "refuse" else wanted["gate"]
    return {**wanted, "gate": gate, "host": apps[0], "live_image": served["image"] if served else ""}


def revert(
    desired: Desired, history: History, live: Mapping[str, str] | None, target: Manifest, apps: Sequence[str]
) -> dict[str, Any] | None:
    """Return the migrations to revert once ``target`` is live and the release it replaces is stopped, and the host; None for none.

    ``names`` are those the release was to apply, oldest first; ``waits_for`` are hosts that may still run it. Raises PlanError.
    """
    if desired.action != "rollback" or live is None:
        return None
    wanted: dict[str, Any]
    if target["id"] != live["release"]:
        wanted = {"release": live["release"], "names": ledger.brought_since(history, target["id"])}
    elif desired.reverted in ledger.failed_alongside(history, live["release"]):
        wanted = {"release": desired.reverted, "names": ledger.brought_by(history, str(desired.reverted))}
    else:
        wanted = history.revert.get(live["release"]) or {"names": []}
    if not wanted["names"]:
        return None
    if desired.data != "down":
        _refuse_to_leave(desired, target, live, wanted)
        return None
    manifest = with_living_secrets(history, history.manifests[wanted["release"]])
    if not manifest["migration"]:
        return None
    targets = f"release_data=down cannot revert migration {', '.join(wanted['names'])} of {wanted['release']}"
    _require_down_migrations(manifest["migration"], targets)
    return {**wanted, "manifest": manifest, "host": apps[0], "waits_for": sorted(desired.unreachable)}


def schema_check(desired: Desired, history: History, target: Manifest, apps: Sequence[str]) -> dict[str, Any] | None:
    """Return where a rollback checks, before any change, that the database has the schema ``target`` expects; None when that is known."""
    if desired.action != "rollback" or not target["migration"] or not ledger.changed_since(history, target["id"]):
        return None
    return {"host": apps[0]}


def _refuse_to_leave(desired: Desired, target: Manifest, live: Mapping[str, str], wanted: Mapping[str, Any]) -> None:
    """Refuse to ignore an unfinished rollback: the next one would roll back one release too many."""
    if desired.data != "forward" or target["id"] != live["release"]:
        return
    if wanted["release"] == desired.reverted:
        raise PlanError(
            f"rollback_confirm={desired.reverted} was never live, so only its changes to the data can be reverted: set -e release_data=down or "
            "-e release_data=restore"
        )
    raise PlanError(
        f"release {live['release']} went live through a rollback that has yet to revert migration {', '.join(wanted['names'])} of "
        f"{wanted['release']}: finish it with -e release_data=down, or name another target with -e release_to=..."
    )


def _require_down_migrations(migration: Mapping[str, Any], targets: str) -> None:
    """Refuse a tool without down migrations; the migrating host checks each migration."""
    otherwise = "Keep it with -e release_data=forward, or restore the data too with -e release_data=restore"
    if migration["engine"] == "prisma":
        raise PlanError(f"{targets}: prisma has no down migrations. {otherwise}")
    if migration["engine"] == "command" and not migration["down"]:
        raise PlanError(f"{targets}: the release has no app_migration.down, the command that reverts one. {otherwise}")


def on_failure(
    desired: Desired, migrate: Mapping[str, Any] | None, live: Manifest | None, alone: bool
) -> dict[str, Any] | None:
    """Return what happens to the data when a deploy fails at its migration or later; None for nothing. Raises PlanError.

    ``alone``: a singleton service starts with the release and keeps running when that fails, so nothing is reverted under it.
    """
    if desired.action != "deploy" or desired.data == "forward" or not migrate or not live:
        return None
    if desired.data == "down":
        _require_down_migrations(migrate, "release_data=down cannot revert the migrations of this release")
    automatically = desired.contract["rollback"]["automatic"] and not alone
    return {"data": desired.data, "automatic": automatically, "host": migrate["host"], "serving": live}


def kept(step: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the part the ledgers record."""
    return {"release": step["release"], "names": step["names"]} if step else None


def require_engine(desired: Desired) -> None:
    """Check that the engine can do what app_rollback relies on. Raises PlanError."""
    if desired.data == "restore" and desired.action == "deploy":
        try:
            engines.require(engines.engine(desired.database["engine"]), "restore_to_point", "app_rollback.data=restore")
        except (engines.UnknownEngine, engines.NotCapable) as error:
            raise PlanError(str(error)) from error


def summary(step: Mapping[str, Any]) -> str:
    """Describe the step for the printed plan."""
    what = f"migration {', '.join(reversed(step['names']))} of {step['release']}"
    if step["waits_for"]:
        return (
            f"not now: {', '.join(step['waits_for'])} is unreachable and may still run {step['release']}. {what[0].upper()}{what[1:]} "
            "stays until you run the same command with it reachable, or excluded with -e release_exclude_hosts=..."
        )
    return f"{what}, once that release is stopped, on {step['host']}"


def summary_on_failure(step: Mapping[str, Any]) -> str:
    """Describe it for the printed plan."""
    if step["data"] == "down":
        automatically = f"the migrations are reverted on {step['host']} once the new release is stopped"
        by_hand = "reverts the migrations"
    else:
        automatically = "all data is restored automatically to the point before the migrations, which also loses what the live release writes from then on"
        by_hand = "restores the data to the point before them"
    return automatically if step["automatic"] else f"the run prints the command that {by_hand}"
