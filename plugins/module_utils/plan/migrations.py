# SPDX-License-Identifier: Apache-2.0
"""Which migrations a run applies, and what becomes of those of a release that is taken back. Pure.

See docs/decisions/0016-schema-and-data-on-rollback.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import engine as engines
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import Desired, PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest


def migration(
    desired: Desired, target: Manifest, live: Manifest | None, apps: Sequence[str], *, restored: bool
) -> dict[str, Any] | None:
    """The migration to run, and on which host: the first app host of the inventory that answers.

    A release whose migrating image is the one that is live brings no migration that the live one did not, unless the data ``restored``
    since. What the live one brought then passed the gate before, and nothing serves that is from before it.
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
    """The migrations to undo once ``target`` is live and what it replaces is stopped, and on which host; None when there are none.

    ``names`` are those that the release set out to apply, oldest first; ``waits_for`` are hosts that may still run it. Raises PlanError.
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
    manifest = history.manifests[wanted["release"]]
    if not manifest["migration"]:
        return None
    targets = f"release_data=down cannot undo migration {', '.join(wanted['names'])} of {wanted['release']}"
    _require_down_migrations(manifest["migration"], targets)
    return {**wanted, "manifest": manifest, "host": apps[0], "waits_for": sorted(desired.unreachable)}


def schema_check(desired: Desired, history: History, target: Manifest, apps: Sequence[str]) -> dict[str, Any] | None:
    """Where a rollback asks the database, before anything changes, whether it still has what ``target`` expects; None when that is known."""
    if desired.action != "rollback" or not target["migration"] or not ledger.changed_since(history, target["id"]):
        return None
    return {"host": apps[0]}


def _refuse_to_leave(desired: Desired, target: Manifest, live: Mapping[str, str], wanted: Mapping[str, Any]) -> None:
    """What was begun is ended, or gone on from: a rollback that forgot about it would go back one more release."""
    if desired.data != "forward" or target["id"] != live["release"]:
        return
    if wanted["release"] == desired.reverted:
        raise PlanError(
            f"rollback_confirm={desired.reverted} was never live, so all there is to undo is in the data: say how, with -e release_data=down or "
            "-e release_data=restore"
        )
    raise PlanError(
        f"release {live['release']} went live by a rollback that has yet to undo migration {', '.join(wanted['names'])} of "
        f"{wanted['release']}: finish it with -e release_data=down, or say with -e release_to=... where to go from here"
    )


def _require_down_migrations(migration: Mapping[str, Any], targets: str) -> None:
    """The tool can undo what it did; the host that migrates looks whether each migration can be."""
    otherwise = "Leave it with -e release_data=forward, or take the data back too with -e release_data=restore"
    if migration["engine"] == "prisma":
        raise PlanError(f"{targets}: prisma has no way back. {otherwise}")
    if migration["engine"] == "command" and not migration["down"]:
        raise PlanError(f"{targets}: the release has no app_migration.down, the command that undoes one. {otherwise}")


def on_failure(
    desired: Desired, migrate: Mapping[str, Any] | None, live: Manifest | None, alone: bool
) -> dict[str, Any] | None:
    """What becomes of the data when a deploy fails at its migration or after; None when nothing does. Raises PlanError.

    ``alone``: something that must not run twice comes up with the release and stays up when that fails, so nothing is undone under it.
    """
    if desired.action != "deploy" or desired.data == "forward" or not migrate or not live:
        return None
    if desired.data == "down":
        _require_down_migrations(migrate, "release_data=down cannot undo the migrations of this release")
    automatically = desired.contract["rollback"]["automatic"] and not alone
    return {"data": desired.data, "automatic": automatically, "host": migrate["host"], "serving": live}


def kept(step: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the ledgers keep of it."""
    return {"release": step["release"], "names": step["names"]} if step else None


def require_engine(desired: Desired) -> None:
    """What an environment relies on is there before it is needed. Raises PlanError."""
    if desired.data == "restore" and desired.action == "deploy":
        try:
            engines.require(engines.engine(desired.database["engine"]), "restore_to_point", "app_rollback.data=restore")
        except (engines.UnknownEngine, engines.NotCapable) as error:
            raise PlanError(str(error)) from error


def summary(step: Mapping[str, Any]) -> str:
    """The step as a plan tells it."""
    what = f"migration {', '.join(reversed(step['names']))} of {step['release']}"
    if step["waits_for"]:
        return (
            f"not now: {', '.join(step['waits_for'])} does not answer and may still run {step['release']}. {what[0].upper()}{what[1:]} "
            "stays until the same command is run again with it there, or given up with -e release_exclude_hosts=..."
        )
    return f"{what}, once that is stopped, on {step['host']}"


def summary_on_failure(step: Mapping[str, Any]) -> str:
    """What a plan tells of it."""
    if step["data"] == "down":
        automatically = f"what was migrated is undone on {step['host']}, once the new release is stopped again"
        by_hand = "undoes what was migrated"
    else:
        automatically = "all data go back to the moment before by themselves, also what visitors of the live release write from then on"
        by_hand = "takes the data back to the moment before"
    return automatically if step["automatic"] else f"the command is printed that {by_hand}"
