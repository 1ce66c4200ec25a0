# SPDX-License-Identifier: Apache-2.0
"""The outcome of a run: the entries it writes into the ledgers, and what happens to its migrations when it fails. Pure.

Reads the plan, and the result of each step on each host, which a step registers as ``__release_<step>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from ansible_collections.sluice.stack.plugins.module_utils.plan.barrier import Results, Verdict
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import SEQUENCE, Entry

Plan = Mapping[str, Any]

# Steps that can fail while the release's migrations are in the database and the release before is live.
MIGRATED = ("migrate", "start", "join", "configure", "canary", "flip")


@dataclass(frozen=True)
class Run:
    """What the controller knows of a run."""

    plan: Plan
    verdict: Verdict  # over the steps so far
    results: Results
    hosts: Sequence[str]  # all hosts of the app that the run goes on with
    now: str  # UTC, as the ledger writes it

    @property
    def step(self) -> str:
        """The step that failed; empty when none did."""
        return str(self.verdict.get("step", ""))

    def pending(self) -> Mapping[str, Any]:
        """What the image and the database list of migrations; empty before the step ``pending``."""
        if "pending" not in self.plan["steps"]:
            return {}
        listed = self.results("listed", self.plan["migrate"]["host"]) or {}
        return listed if "status" in listed else {}


def entries(run: Run) -> dict[str, Entry]:
    """The ledger entries of the run, by event, as far as they are known."""
    plan = run.plan
    if not plan.get("started_entry"):
        return {}
    started = {**plan["started_entry"], **_read(run), **_migrations(run), **_restore_point(run)}
    outcome = {"time": run.now, "times": run.verdict["times"]}
    bare = {**plan["started_entry"], **_read(run)}
    found = {
        "started": started,
        "confirmed": {**started, **outcome, **_event("confirmed"), "migrations": _applied(run), **_built(run)},
        "failed": {
            **bare,
            **outcome,
            **_restore_point(run),
            **_event("failed"),
            "manifest": None,
            "step": run.step,
            "message": str(run.verdict["message"]).split("\n", maxsplit=1)[0],
        },
    }
    if bare.get("read"):
        found["read"] = {**bare, **_event("read"), "manifest": None}
    if plan["revert"]:
        left = (run.results("rollback_check", plan["revert"]["host"]) or {}).get("left", [])
        reverted = [name for name in reversed(plan["revert"]["names"]) if name not in left]
        release = plan["revert"]["release"]
        found["reverted"] = {**bare, **_event("reverted"), "manifest": None, "release": release, "reverted": reverted}
    return found


def _event(name: str) -> dict[str, Any]:
    return {"event": name, "seq": SEQUENCE[name]}


def _read(run: Run) -> dict[str, Any]:
    """Which secrets were read, by the controller before the plan and for hosts that lacked them; nothing when there were none."""
    answers = [run.results("fetch", host) or {} for host in run.plan["fetch"]] if "fetch" in run.plan["steps"] else []
    read = [*(run.plan["started_entry"].get("read") or []), *(one["read"] for one in answers if one.get("read"))]
    return {"read": read} if read else {}


def _migrations(run: Run) -> dict[str, Any]:
    """The migrations that the release brings, which may have to be reverted, and the destructive ones in the database.

    An image without the file does not know that an applied migration is marked as destructive; the ledger does.
    """
    listed = run.pending()
    if not listed:
        return {}
    unknown = listed["status"]["unknown"]
    known = [name for name in run.plan["contracted"] if name in unknown]
    return {"contracts": [*listed["contracts"], *known], "migrating": listed["status"]["pending"]}


def _restore_point(run: Run) -> dict[str, Any]:
    """The moment in the database's history before this release, where there is one."""
    if "restore_point" not in run.plan["steps"]:
        return {}
    through = next(iter(run.plan["through"].values()))
    return {"restore_point": (run.results("restore_point", through) or {}).get("restore_point")}


def _built(run: Run) -> dict[str, Any]:
    """When the newest of the release's images was built, and of which commit: its lead time counts from there."""
    answers = [run.results("start", host) or {} for host in run.plan["start"]] if "start" in run.plan["steps"] else []
    known = [one for answer in answers for one in answer.get("built", {}).values() if one["created"]]
    # The newest by the moment, whatever the offset it is written with.
    return {"built": max(known, key=lambda one: datetime.fromisoformat(one["created"]))} if known else {}


def _applied(run: Run) -> list[str]:
    if "migrate" not in run.plan["steps"]:
        return []
    return list((run.results("migrate", run.plan["migrate"]["host"]) or {}).get("applied", []))


def failure(run: Run) -> dict[str, Any]:
    """What a failed run does about its migrations.

    ``names``: those it set out to apply; ``automatic``: ``down`` or ``restore`` when the run does that itself, else empty; ``targets``: for each part
    of reverting them the hosts that must have done it, and the same for a ``restore`` in ``restore_targets``; once it was tried, ``reverted``:
    the verdict over that, and ``stays``: migrations that the live release brings too.
    """
    plan, on_failure = run.plan, run.plan.get("on_failure") or {}
    names = list(run.pending().get("status", {}).get("pending", [])) if "migrate" in plan["steps"] else []
    automatic = on_failure["data"] if on_failure.get("automatic") and names and run.step in MIGRATED else ""
    aborted = list(plan["flip"]) if run.step in ("canary", "flip") else []
    targets = {
        "abort": aborted,
        "failure_stop": list(plan["start"]) if run.step != "migrate" and on_failure else [],
        "failure_revert": [on_failure["host"]] if on_failure else [],
    }
    restore_targets = {"abort": aborted, "record": [host for host in run.hosts if host not in aborted]}
    return {
        "names": names,
        "automatic": automatic,
        "targets": targets,
        "restore_targets": restore_targets,
        **_tried(run, automatic, targets),
    }


def _tried(run: Run, automatic: str, targets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The verdict over what the run did about its migrations, when it has come to that."""
    before = barrier.start(0.0)
    if automatic == "down" and run.results("failure_revert", run.plan["on_failure"]["host"]) is not None:
        stays = (run.results("failure_revert", run.plan["on_failure"]["host"]) or {}).get("left", [])
        return {"reverted": barrier.verdict(before, run.results, targets), "stays": list(stays)}
    if automatic == "restore" and run.results("auto_restore", run.hosts[0]) is not None:
        return {"reverted": barrier.verdict(before, run.results, {"auto_restore": run.hosts[:1]})}
    return {}


def reverted_entry(run: Run, done: Mapping[str, Any]) -> list[Entry]:
    """The entry of a failed run that reverted its migrations (``failure``); none when it did not."""
    if not done.get("reverted", {}).get("ok"):
        return []
    reverted = [name for name in reversed(done["names"]) if name not in done.get("stays", [])]
    return [{**run.plan["started_entry"], **_event("reverted"), "manifest": None, "reverted": reverted}]
