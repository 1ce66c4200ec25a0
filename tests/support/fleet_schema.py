# SPDX-License-Identifier: Apache-2.0
"""The fleet in memory with a database, whose migrations have a way back: the engine ``sql`` and ``app_rollback.data: down``.

The steps mirror roles/release/tasks, the modules db_migration and release_retire: change them together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from ansible_collections.sluice.stack.plugins.module_utils.plan.report import MIGRATED
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

from tests.support.fleet_model import Host, Run, World
from tests.support.fleet_referee import Answer, Fault, Module, Round

NUMBERS = (1, 2, 3, 9)


def brings(version: str) -> list[str]:
    """The migrations in a version's image: its own, and those of all versions before."""
    return [f"{number}_change" for number in NUMBERS if number <= int(version[1:])]


class Schema(World):
    """A fleet whose releases change the schema, and whose rollbacks may take that back."""

    engine = "sql"

    def __init__(self, edges: int = 2, apps: int = 2) -> None:
        super().__init__(edges, apps)
        self.database: list[str] = []
        self.locked_by: tuple[str, str] | None = None  # the host and the run whose session has the lock of migrations
        self.points: dict[str, list[str]] = {}  # release → what the database had when it was first begun
        self.bereft: set[str] = set()  # releases that were live when the data went back to before them: a deploy is due

    # --- the promise --------------------------------------------------------------------------------------------------

    def has_migrated(self, version: str) -> bool:
        return set(brings(version)) <= set(self.database)

    def revert_one(self, name: str) -> None:
        """Promise 9: what is undone is not used any more, by visitors or by anything that runs. ``check`` sees the visitors."""
        for host in (self.hosts[one] for one in self.apps if one not in self.excused):
            using = [item for item in host.containers if item["state"] == "running" and name in brings(item["version"])]
            self.require(not using, f"9 {name} is undone, and {host.name} runs {using}")
        self.database.remove(name)

    def check(self) -> None:
        super().check()
        for edge in (self.hosts[name] for name in self.edges if name not in self.excused):
            confirmed = edge.record["confirmed"]
            if confirmed and confirmed["release"] not in self.bereft:
                version = str(confirmed["release"]).rpartition("-")[2]
                self.require(
                    self.has_migrated(version),
                    f"9 {edge.name} serves {version} on a database that has {self.database}",
                )

    def restore(self, release: str) -> None:
        """As playbooks/backup/restore.yml, which is refused while a run holds the lease: back to a restore point, and every ledger records it."""
        if any(host.lease.run_id and host.lease.alive(self.lease_now(host)) for host in self.hosts.values()):
            return
        self.database = list(self.points[release])
        self.bereft |= {
            self.hosts[name].record["confirmed"]["release"]
            for name in self.edges
            if self.hosts[name].record["confirmed"]
        }
        token = 1 + max(host.lease.highest for host in self.hosts.values())
        run = {"id": f"restore{token}", "action": "restore", "who": "anna@build"}
        to = {"point": release, "moment": "", "summary": ""}
        for host in self.hosts.values():
            host.lease, host.owner = host.lease._replace(highest=token, run_id=None), None
            host.append(ledger.entry("restored", token=token, time="", run=run, manifest=None, to=to))

    def failed_alongside(self) -> list[str]:
        """The releases that failed beside the one that is live, as a person finds them in the history."""
        history = ledger.merge(host.ledger for host in self.hosts.values())
        live = self.hosts[self.edges[0]].record["confirmed"]
        return ledger.failed_alongside(history, live["release"]) if live else []

    # --- the order of steps -------------------------------------------------------------------------------------------

    def steps(self, run: Run) -> dict[str, Callable[[Host], Module]]:
        found: dict[str, Callable[[Host], Module]] = {}
        for step, module in super().steps(run).items():
            if step == "migrate":
                found["pending"] = lambda host: self.look(host, run)
                found["schema_check"] = lambda host: self.schema_check(host, run)
                found["rollback_check"] = lambda host: self.rollback_check(host, run)
            found[step] = module
            if step == "retire":
                found["revert"] = lambda host: self.revert(host, run)
                found["reverted"] = lambda host: self.wrote_reverted_entry(host, run)
        return found

    def execute(self, run: Run, plan: dict[str, Any]) -> Round:
        # The second task of the step undo.
        if "revert" in plan["steps"]:
            plan["steps"].append("reverted")
        yield from super().execute(run, plan)

    def is_needless(self, run: Run, step: str) -> bool:
        return step == "migrate" and run.verdict["ok"] and not run.pending

    def after_failure(self, run: Run, plan: dict[str, Any]) -> Round:
        """As failure_undo.yml."""
        step, on_failure = run.verdict.get("step"), plan["on_failure"]
        if not on_failure or not on_failure["automatic"] or not run.pending or step not in MIGRATED:
            return
        everyone = [name for name in self.edges + self.apps if name not in plan["excluded"]]
        verdict = barrier.start(0)
        if step == "flip":
            verdict = barrier.judge("abort", {name: run.aborted.get(name) for name in plan["flip"]}, verdict)
        rounds: list[tuple[str, list[str], Callable[[Host], Module]]] = [
            ("stop", plan["start"] if step != "migrate" else [], lambda host: self.stop(host, run, plan["slot"])),
            ("revert", [on_failure["host"]], lambda host: self.revert_failed(host, run)),
        ]
        for name, hosts, module in rounds:
            given = (yield {host: module(self.hosts[host]) for host in hosts}) if verdict["ok"] and hosts else {}
            verdict = barrier.judge(name, {host: given.get(host) for host in hosts}, verdict)
        kept = self.kept_for(on_failure["serving"]["version"])
        reverted = [name for name in run.pending if name not in kept] if verdict["ok"] else []
        yield {name: self.wrote_reverted(self.hosts[name], run, reverted) for name in everyone}

    # --- the modules --------------------------------------------------------------------------------------------------

    @staticmethod
    def entry(run: Run, event: str) -> ledger.Entry:
        item = World.entry(run, event)
        plan = run.plan or {}
        more: Answer = {"revert": plan["to_revert"]} if event != "failed" else {}
        if event != "failed" and "pending" in plan["steps"]:
            more |= {"migrating": list(run.pending), "contracts": []}
        return {**item, **more}

    def look(self, host: Host, run: Run) -> Module:
        """As db_migration with state=plan, and the gate: what is pending once nobody is at work on it."""
        return self._closing(host, run, self._look(host, run))

    def _look(self, host: Host, run: Run) -> Module:
        yield from self._lock(host, run)
        known = brings((run.plan or {})["manifest"]["version"])
        run.pending = [name for name in known if name not in self.database]
        return {}

    def migrate(self, host: Host, run: Run) -> Module:
        """As db_migration with the engine sql: one transaction after the other, in a session that has the lock."""
        return self._closing(host, run, self._migrate(host, run))

    def _migrate(self, host: Host, run: Run) -> Module:
        known = brings((run.plan or {})["manifest"]["version"])
        self.own(host, run)
        host.append(self.entry(run, "started"))
        yield
        yield from self._lock(host, run)
        self.points.setdefault((run.plan or {})["manifest"]["id"], list(self.database))
        for name in known:
            self.own(host, run)
            if name not in self.database:
                self.database.append(name)
                yield
        return {}

    def _lock(self, host: Host, run: Run) -> Generator[None, None, None]:
        """Wait for the lock of migrations, as long as the app is the run's and the migration may take."""
        ends = self.t + 600
        while self.locked_by not in (None, (host.name, run.id)):
            if self.t > ends:
                raise Fault("another migration has the lock")
            self.own(host, run)
            self.t += 10
            yield
        self.own(host, run)
        self.locked_by = (host.name, run.id)
        yield

    def _closing(self, host: Host, run: Run, module: Module) -> Module:
        """A module whose connection is closed however it ends."""
        try:
            return (yield from module)
        finally:
            if self.locked_by == (host.name, run.id):
                self.locked_by = None

    def schema_check(self, host: Host, run: Run) -> Module:
        """As db_migration with state=schema_check."""
        return self._closing(host, run, self._expected(host, run))

    def _expected(self, host: Host, run: Run) -> Module:
        yield from self._lock(host, run)
        version = (run.plan or {})["manifest"]["version"]
        if not self.has_migrated(version):
            raise Fault(f"{version} expects what the database has not")
        return {}

    def rollback_check(self, host: Host, run: Run) -> Module:
        """As db_migration with state=rollback_check."""
        revert, serving = (run.plan or {})["revert"], (run.plan or {})["manifest"]
        known = set(brings(revert["manifest"]["version"])) - self.kept_for(serving["version"])
        run.revert = [name for name in revert["names"] if name in self.database and name in known]
        yield
        return {}

    def kept_for(self, serving: str) -> set[str]:
        """What the release that serves brings too stays."""
        return set(brings(serving))

    def _revert(self, host: Host, run: Run, names: Sequence[str], serving: str) -> Module:
        """As db_migration with state=rolled_back."""
        yield from self._lock(host, run)
        for name in reversed(names):
            self.own(host, run)
            if name in self.database and name not in self.kept_for(serving):
                self.revert_one(name)
                yield
        if not self.has_migrated(serving):
            raise Fault(f"the database is not what {serving} expects")
        return {}

    def revert(self, host: Host, run: Run) -> Module:
        """What a rollback undoes."""
        serving = (run.plan or {})["manifest"]["version"]
        return self._closing(host, run, self._revert(host, run, run.revert, serving))

    def revert_failed(self, host: Host, run: Run) -> Module:
        """What a deploy that failed undoes."""
        serving = (run.plan or {})["on_failure"]["serving"]["version"]
        return self._closing(host, run, self._revert(host, run, run.pending, serving))

    def wrote_reverted_entry(self, host: Host, run: Run) -> Module:
        """As release_ledger after the undo."""
        self.own(host, run)
        revert = (run.plan or {})["revert"]
        left = [name for name in revert["names"] if name in self.database]
        reverted = [name for name in reversed(revert["names"]) if name not in left]
        host.append(self._reverted_entry(run, revert["release"], reverted))
        self.release_lease(host, run)
        yield
        return {}

    def wrote_reverted(self, host: Host, run: Run, reverted: list[str]) -> Module:
        """As release_ledger after a deploy that failed and undid what it migrated, or could not."""
        self.own(host, run)
        if reverted:
            host.append(self._reverted_entry(run, (run.plan or {})["manifest"]["id"], reverted[::-1]))
        self.release_lease(host, run)
        yield
        return {}

    @staticmethod
    def _reverted_entry(run: Run, release: str, reverted: list[str]) -> ledger.Entry:
        item = ledger.entry("reverted", token=run.token, time="", run=run.ledger_run, manifest=None)
        return {**item, "release": release, "reverted": reverted}

    def failed(self, host: Host, run: Run) -> Module:
        plan = run.plan or {}
        self.own(host, run)
        host.append(self.entry(run, "failed"))
        reverts = plan["on_failure"] and plan["on_failure"]["automatic"] and run.pending
        if not reverts or run.verdict.get("step") not in MIGRATED:
            self.release_lease(host, run)
        yield
        return {}

    def retire(self, host: Host, run: Run) -> Module:
        """As release_retire; before an undo it waits."""
        plan = run.plan or {}
        if "revert" not in plan["steps"]:
            return super().retire(host, run)
        return self._retire_now(host, run)

    def _retire_now(self, host: Host, run: Run) -> Module:
        plan = run.plan or {}
        self.own(host, run)
        if plan["confirm"]:
            host.append(self.entry(run, "confirmed"))
        self.compact(host, {item["release"] for item in host.containers})
        host.retiring = None
        yield
        if plan["retire"]:
            yield from self._stop(host, run, plan["retire"]["slot"])
        return {}

    def stop(self, host: Host, run: Run, slot: str) -> Module:
        """As release_retire that waits, of a release that failed."""
        self.own(host, run)
        host.retiring = None
        yield
        yield from self._stop(host, run, slot)
        return {}

    def _stop(self, host: Host, run: Run, slot: str) -> Generator[None, None, None]:
        held = [item for item in host.containers if item["slot"] == slot]
        if held:
            yield from self._empty(host, run, held)

    def reboot(self, name: str) -> None:
        if self.locked_by and self.locked_by[0] == name:
            self.locked_by = None
        super().reboot(name)
