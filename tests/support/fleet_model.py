# SPDX-License-Identifier: Apache-2.0
"""A fleet in memory on which several controllers run releases at once, one effect on one host at a time.

A *module* is a generator that yields after each effect on its host, a *controller* one that yields a round (host → module) and is
sent the answers. Decisions are the collection's own pure functions; only what they decide about is a model: containers, clocks,
partitions, crashes. Promises are checked after each effect against facts the functions under test do not keep.

The steps of ``execute`` mirror playbooks/deploy.yml and roles/release/tasks, the modules mirror plugins/modules: change them together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from ansible_collections.sluice.stack.plugins.module_utils.plan import plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger

from tests.support.fleet_modules import Modules
from tests.support.fleet_referee import (
    BEGIN,
    CONFIRM,
    LEASE,
    UNREACHABLE,
    Answer,
    Fault,
    Host,
    Module,
    Process,
    Round,
    Run,
    Violation,
    contract_of,
    upstreams,
)

__all__ = ["CONFIRM", "LEASE", "Host", "Run", "Violation", "World", "upstreams"]


class World(Modules):
    """The fleet: controllers, whose steps are in the order of playbooks/deploy.yml, and the scheduler of everything's effects."""

    # --- the controller: the order of steps, as playbooks/deploy.yml has it ------------------------------------------

    def begin(self, run: Run) -> Run:
        """A controller that is about to fence."""
        run.begun = self.t
        self.runs.append(run)
        run.rounds = self.controller(run)
        self._round(run, next(run.rounds))
        return run

    def controller(self, run: Run) -> Round:
        """One run from fence to report."""
        names = [name for name in self.edges + self.apps if name not in run.excluded]
        fenced = yield {name: self.fence(self.hosts[name], run) for name in names}
        unreachable_allowed = self.apps if run.action == "rollback" else ()
        answers: dict[str, Answer | None] = {name: fenced.get(name) for name in names}
        run.verdict = barrier.judge("fence", answers, barrier.start(0), unreachable_allowed=unreachable_allowed)
        if run.verdict["ok"]:
            self.decide(run, fenced)
        if run.plan:
            yield from self.execute(run, run.plan)
        else:
            owned = [name for name in names if "observation" in fenced[name]]
            yield {name: self.released(self.hosts[name], run) for name in owned}

    def steps(self, run: Run) -> dict[str, Callable[[Host], Module]]:
        """What a step does on a host, in the playbook's order."""
        return {
            "narrow": lambda host: self.narrow(host, run),
            "reconcile": lambda host: self.reconcile(host, run),
            "migrate": lambda host: self.migrate(host, run),
            "start": lambda host: self.start(host, run),
            "configure": lambda host: self.configure(host, run),
            "flip": lambda host: self.flip(host, run),
            "confirm": lambda host: self.confirm(host, run),
            "retire": lambda host: self.retire(host, run),
            "unlock": lambda host: self.released(host, run),
        }

    def execute(self, run: Run, plan: dict[str, Any]) -> Round:
        """Every step of a plan, each under the verdict so far."""
        everyone = [name for name in self.edges + self.apps if name not in plan["excluded"]]
        for step, module in self.steps(run).items():
            if step not in plan["steps"] or self.is_needless(run, step):
                continue
            run.at = step
            names = plan["targets"].get(step, everyone)
            given = (yield {name: module(self.hosts[name]) for name in names}) if run.verdict["ok"] else {}
            answers: dict[str, Answer | None] = {name: given.get(name) for name in names}
            if step in plan["targets"]:
                noted = self.noted if "revert" not in plan["targets"] else self.noted_before_undo
                run.verdict = barrier.judge(step, answers, run.verdict, noted=noted)
            if step == "configure" and run.verdict["ok"]:
                self.given_up |= set(plan["excluded"]) & set(self.apps)
            if step == "reconcile" and run.verdict["ok"]:
                self.excused -= set(plan["converge"])  # from here on their clients get the live release
            if step == ("confirm" if plan["flip"] else "configure") and run.verdict["ok"]:
                self.excused -= {*everyone}  # they have been brought up to date
        run.at = "report"
        if not run.verdict["ok"]:
            if run.verdict["step"] == "flip":
                run.aborted = yield {name: self.abort(self.hosts[name], run) for name in plan["flip"]}
            yield {name: self.failed(self.hosts[name], run) for name in everyone}
            yield from self.after_failure(run, plan)

    def is_needless(self, run: Run, step: str) -> bool:
        """Whether an earlier step has found that there is nothing to do in this one."""
        return False

    def after_failure(self, run: Run, plan: dict[str, Any]) -> Round:
        """What a run that failed does about the data: nothing."""
        yield from ()

    def decide(self, run: Run, fenced: Mapping[str, Answer]) -> None:
        """The plan. Promises 5 and 6."""
        observed = {name: answer["observation"] for name, answer in fenced.items() if "observation" in answer}
        unreachable = frozenset(run.verdict["unreachable"])
        now = BEGIN + timedelta(seconds=self.t + run.skew)
        addresses = {name: self.hosts[name].address for name in self.apps}
        desired = plans.Desired(
            run.action,
            contract_of(run.version, self.engine),
            addresses,
            self.edges,
            self.apps,
            now,
            run.excluded,
            unreachable,
            age=self.age(run),
            data=run.data,
            release_to=run.to,
            reverted=run.reverted,
        )
        copies = [ledger.from_lines(item["ledger"]) for item in observed.values()]
        self.require(
            ledger.merge(copies) == ledger.merge(copies[::-1]), "6 the history depends on the order of the copies"
        )
        try:
            run.plan = plans.decide(desired, observed)
        except plans.PlanError as error:
            missing = len(observed) < len(self.hosts)  # and the last copy of a manifest may be there
            self.require(missing or "no ledger" not in str(error), f"6 {error}")
            run.verdict = {**run.verdict, "ok": False, "message": str(error)}
            return
        # An app host that was given up must be in no upstream until it is up to date, so it counts as soon as it is back.
        self.excused = self.excused - (self.given_up & set(observed)) | set(run.plan["excluded"])
        self.given_up -= set(observed)
        if "configure" not in run.plan["steps"]:
            self.given_up |= set(run.plan["excluded"]) & set(self.apps)
        if run.plan["status"] == "change" and run.action == "rollback":
            self.require(
                run.plan["manifest"]["id"] in self.confirmed, "5 a release that was never live is rolled back to"
            )
        if run.plan["status"] == "nothing":
            self.excused -= set(observed)  # the plan says that all of them are whole

    # --- the scheduler -----------------------------------------------------------------------------------------------

    def _round(self, run: Run, modules: dict[str, Module]) -> None:
        run.processes = {name: Process(module) for name, module in modules.items()}

    def step(self, run: Run, first: int = 0) -> None:
        """One effect of a run, on the host that comes ``first`` of those that are still at work; then its next round, if all are done."""
        assert run.rounds
        waiting = [name for name, process in run.processes.items() if process.answer is None]
        if waiting:
            name = waiting[first % len(waiting)]
            process = run.processes[name]
            if self.is_cut(run, name) and not process.started:
                process.answer = UNREACHABLE
            else:
                self._effect(process)
                if process.answer is not None and self.is_cut(run, name):
                    process.answer = UNREACHABLE  # it happened, and nobody hears of it
        while not run.over and all(process.answer is not None for process in run.processes.values()):
            try:
                answers = {name: process.answer or {} for name, process in run.processes.items()}
                self._round(run, run.rounds.send(answers))
            except StopIteration:
                self._end(run)
                run.processes = {}
        self.check()

    def _effect(self, process: Process) -> None:
        process.started = True
        self.t += 1
        self.timers()
        try:
            next(process.module)
        except StopIteration as end:
            process.answer = end.value or {}
        except (leases.LeaseError, edge_record.RecordError, Fault) as error:
            process.answer = {"failed": True, "msg": str(error)}

    def finish(self, run: Run, until: str = "") -> Run:
        """Let a run go on to the beginning of a step, or to its end."""
        for _ in range(1000):
            if run.over or run.at == until:
                return run
            self.step(run)
        raise AssertionError(f"{run.id} does not come to an end")

    def timers(self) -> None:
        """Leases are renewed as long as their controllers live and work."""
        for run in self.runs:
            if run.beats and not run.over:
                for host in (self.hosts[name] for name in run.fenced if not self.is_cut(run, name)):
                    with contextlib.suppress(leases.LeaseLost):
                        host.lease = self.renewed(host, run)

    def _end(self, run: Run) -> None:
        """A controller has ended, however it did: the leases it has not given back run out, where that can be told to a host."""
        run.over = True
        if run.beats:
            for host in (self.hosts[name] for name in run.fenced if not self.is_cut(run, name)):
                run.reported |= {host.name} if host.lease.run_id == run.id else set()
                host.lease = self.ended(host, run)

    def kill(self, run: Run) -> None:
        """End a controller with kill -9: modules that had begun on their hosts go on there, without anybody who listens."""
        self._end(run)
        for name, process in run.processes.items():
            if process.started and process.answer is None:
                self.orphans.append((self.hosts[name], process))

    def step_orphans(self, effects: int) -> None:
        """Effects of modules whose controllers were killed."""
        for _ in range(effects):
            self.orphans = [item for item in self.orphans if item[1].answer is None]
            if not self.orphans:
                return
            self._effect(self.orphans[0][1])
            self.check()

    def step_background(self, effects: int, first: int = 0) -> None:
        """Effects of what hosts do after a run has ended."""
        for _ in range(effects):
            self.workers = [item for item in self.workers if item[1].answer is None]
            if not self.workers:
                return
            self._effect(self.workers[first % len(self.workers)][1])
            self.check()

    def wait(self, seconds: float) -> None:
        """Time passes for everybody."""
        self.t += seconds
        self.timers()
        self.check()

    def lose_containers(self, name: str) -> None:
        """Somebody removed them; until the host is mended the edges pass it over."""
        self.hosts[name].containers.clear()
        self.excused.add(name)

    def reboot(self, name: str) -> None:
        """Modules die, containers come back if they have the policy, records and leases stay."""
        host = self.hosts[name]
        host.boots += 1
        for run in self.runs:
            process = run.processes.get(name)
            if process and process.started and process.answer is None:
                process.answer = UNREACHABLE
        self.orphans = [item for item in self.orphans if item[0] is not host]
        self.workers = [item for item in self.workers if item[0] is not host]
        for item in host.containers:
            item["state"] = "running" if item["healthy"] and not item["condemned"] else "exited"  # that have the policy
        if host.migration and self.now(host) < host.migration["ends"]:
            host.migration |= {"ends": self.now(host), "cut_off": True}
        self.check()
