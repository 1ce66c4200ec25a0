# SPDX-License-Identifier: Apache-2.0
"""A fleet in memory on which several controllers run releases at once, one effect on one host at a time.

A *module* is a generator that yields after each effect on its host, a *controller* one that yields a round (host → module) and is
sent the answers. Decisions are the collection's own pure functions; only what they decide about is a model: containers, clocks,
partitions, crashes. Promises are checked after each effect against facts the functions under test do not keep.

The steps of ``carry_out`` mirror playbooks/deploy.yml and roles/release/tasks, the modules mirror plugins/modules: change them together.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import (
    contract as contracts,
)
from ansible_collections.sluice.stack.plugins.module_utils.edge import (
    record as edge_record,
)
from ansible_collections.sluice.stack.plugins.module_utils.plan import (
    barrier,
)
from ansible_collections.sluice.stack.plugins.module_utils.plan import (
    plan as plans,
)
from ansible_collections.sluice.stack.plugins.module_utils.release import (
    lease as leases,
)
from ansible_collections.sluice.stack.plugins.module_utils.release import (
    ledger,
    ports,
)
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import (
    Lease,
)

Answer = dict[str, Any]
Module = Generator[None, None, Answer]
Round = Generator[dict[str, Module], dict[str, Answer], None]

BEGIN = datetime(2026, 11, 22, 23, 15, tzinfo=UTC)
UNREACHABLE: Answer = {"unreachable": True, "msg": "timed out"}
LEASE, CONFIRM, WINDOW, DRAIN, PULL, MIGRATION, WARM = 60.0, 60.0, 30.0, 10.0, 60.0, 40.0, 120.0  # seconds


class Violation(AssertionError):
    """A promise is broken; the message begins with which one."""


class Fault(Exception):
    """A module fails in a way the hosts may fail."""


@functools.cache
def contract_of(version: str) -> dict[str, Any]:
    """The contract of a small app at a version."""
    image = "registry.test:5000/shop/backend"
    return contracts.resolve(
        {
            "app_name": "shop",
            "app_version": version,
            "app_services": {"backend": {"image": image, "port": 4000, "health": {"path": "/ready"}}},
            "app_routes": [{"path": "/", "service": "backend"}],
            "app_migration": {"engine": "prisma", "service": "backend"},
            "app_env": {"DATABASE_URL": "postgresql://db/shop"},
        }
    )


@functools.lru_cache(maxsize=256)
def upstreams(config: str) -> dict[str, set[str]]:
    """Slot → the addresses that a rendered configuration sends its requests to."""
    found: dict[str, set[str]] = {}
    for slot, body in re.findall(r"^upstream sluice_shop_backend_(\w+) \{(.*?)^\}", config, re.MULTILINE | re.DOTALL):
        found[slot] = set(re.findall(r"server ([\d.]+):", body))
    return found


@dataclass
class Host:
    """What one host keeps; ``owner``, ``flip_ends`` and containers' ``healthy`` are the referee's own notes."""

    name: str
    address: str
    offset: float = 0.0  # how far its clock is ahead
    lease: Lease = field(default_factory=lambda: Lease("shop"))
    ledger: list[ledger.Entry] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    containers: list[dict[str, Any]] = field(default_factory=list)
    migration: dict[str, Any] | None = None  # the container of the fixed name
    record: edge_record.Record = field(default_factory=lambda: edge_record.empty("shop"))
    config: str = ""
    retiring: dict[str, Any] | None = None  # the slot that the host is about to stop by itself
    unhealthy: set[str] = field(default_factory=set)  # versions that do not get well here
    owner: str | None = None  # who fenced it last and has not given it back
    flip_ends: float = 0.0
    changed: float = 0.0  # when its record was last changed, by its own clock

    def append(self, entry: ledger.Entry) -> None:
        """As ledger.append, in memory."""
        if not any((item["token"], item["event"]) == (entry["token"], entry["event"]) for item in self.ledger):
            self.ledger.append(entry)


@dataclass
class Process:
    """A module on a host."""

    module: Module
    started: bool = False
    answer: Answer | None = None


@dataclass
class Run:
    """One controller."""

    id: str
    action: str
    version: str
    lost: frozenset[str] = frozenset()
    skew: float = 0.0
    begun: float = 0.0
    rounds: Round | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    plan: dict[str, Any] | None = None
    verdict: dict[str, Any] = field(default_factory=dict)
    at: str = "fence"  # the step under way
    over: bool = False

    @property
    def token(self) -> int:
        return int(self.plan["token"]) if self.plan else 0

    @property
    def ledger_run(self) -> dict[str, str]:
        return {"id": self.id, "action": self.action, "who": "anna@build"}


class World:
    """All hosts, all controllers, and the referee."""

    noted: Collection[str] = barrier.NOTED

    def __init__(self, edges: int = 2, apps: int = 2) -> None:
        self.t = 0.0
        self.edges = [f"edge{index + 1}" for index in range(edges)]
        self.apps = [f"app{index + 1}" for index in range(apps)]
        self.hosts = {name: Host(name, f"10.0.0.{index + 1}") for index, name in enumerate(self.edges + self.apps)}
        self.runs: list[Run] = []
        self.orphans: list[tuple[Host, Process]] = []
        self.background: list[tuple[Host, Process]] = []  # what hosts do after a run has ended
        self.cut: set[tuple[str, str]] = set()  # (run id or *, host)
        self.confirmed: set[str] = set()
        self.migrated: set[str] = set()
        self.excused: set[str] = (
            set()
        )  # took no part in a run that went on without them, and not brought up to date since
        self.given_up: set[str] = set()  # app hosts among them that no edge sends anything to
        self.broken = False

    # --- the referee -------------------------------------------------------------------------------------------------

    def require(self, holds: bool, promise: str) -> None:
        """Raise Violation unless the promise holds."""
        if not holds:
            self.broken = True
            raise Violation(promise)

    def now(self, host: Host) -> float:
        """Seconds of this host's clock."""
        return self.t + host.offset

    def reached(self, edge: Host, slot: str) -> list[Host]:
        """The app hosts an edge sends a slot's requests to, without those that take no part now."""
        addresses = upstreams(edge.config).get(slot, set())
        return [
            self.hosts[name] for name in self.apps if self.hosts[name].address in addresses and name not in self.excused
        ]

    def serves(self, host: Host, slot: str, release: str) -> bool:
        """Whether a slot holds the release, has been healthy, and holds nothing else."""
        there = [item for item in host.containers if item["slot"] == slot]
        return bool(there) and all(
            item["release"] == release and item["state"] == "running" and item["healthy"] for item in there
        )

    def check(self) -> None:
        """Promise 1, which time alone can break too."""
        for edge in (self.hosts[name] for name in self.edges if name not in self.excused):
            for share in edge_record.effective(edge.record, self.now(edge)):
                slot, release = share["slot"], share["release"]
                self.require(
                    slot in upstreams(edge.config), f"1 {edge.name} sends visitors to {slot}, which it does not know"
                )
                for host in self.reached(edge, slot):
                    self.require(
                        self.serves(host, slot, release),
                        f"1 {edge.name} sends visitors to {release} in {slot}; {host.name} has {host.containers}",
                    )

    def removes(self, host: Host, gone: Sequence[Mapping[str, Any]]) -> None:
        """Promise 4, before containers are removed from a host."""
        for edge in (self.hosts[name] for name in self.edges if name not in self.excused):
            record = edge.record
            tried = [record["pending"]] if edge_record.pending_alive(record, self.now(edge)) else []
            for choice in [record["confirmed"], *tried]:
                if choice and host in self.reached(edge, choice["slot"]):
                    used = [
                        item
                        for item in gone
                        if (item["slot"], item["release"]) == (choice["slot"], choice["release"])
                        and item["state"] == "running"
                        and item["healthy"]
                    ]
                    self.require(not used, f"4 {host.name} removes {used}, which {edge.name} may still use")

    # --- what a negative control may break ---------------------------------------------------------------------------

    def prove(self, host: Host, run: Run, extend: float) -> Lease:
        """The lease after a run proved that it owns the app."""
        return leases.prove(host.lease, run_id=run.id, token=run.token, extend=extend, now=self.now(host))

    def confirmation(self, edge: Host, run: Run, release: str) -> edge_record.Record:
        """An edge's record after a confirmation."""
        return edge_record.confirm(edge.record, release=release, token=run.token, now=self.now(edge))

    def reported(self, item: Mapping[str, Any]) -> str:
        """A container's state, as docker_host.app_containers tells it."""
        return "starting" if item["state"] == "running" and not item["healthy"] else str(item["state"])

    def age(self, run: Run) -> float:
        """Seconds since a run began, by its controller's clock."""
        return self.t - run.begun

    def timers(self) -> None:
        """What hosts do by themselves as time passes: nothing."""

    # --- modules: generators of effects on one host ------------------------------------------------------------------

    def own(self, host: Host, run: Run, extend: float = LEASE) -> None:
        """Go through the guard. Promise 2: whoever comes through fenced the host last."""
        host.lease = self.prove(host, run, extend)
        self.require(host.owner == run.id, f"2 {run.id} changes {host.name}, which {host.owner} owns")

    def give_back(self, host: Host, run: Run) -> None:
        """As Guard.release."""
        host.lease = leases.release(host.lease, run_id=run.id)
        host.owner = host.lease.run_id

    def fence(self, host: Host, run: Run) -> Module:
        preempt = run.action == "rollback"
        host.lease = leases.fence(
            host.lease,
            run_id=run.id,
            action=run.action,
            who="anna@build",
            begun=f"{run.begun:09.0f}",
            ttl=LEASE,
            preempt=preempt,
            now=self.now(host),
        )
        host.owner = run.id
        yield
        return {"observation": self.observe(host, run)}

    def observe(self, host: Host, run: Run) -> Answer:
        """As release_fence; the plan must not see the host change later."""
        seen: Answer = {
            "now": self.now(host),
            "lease": host.lease.to_dict(),
            "highest": host.lease.highest,
            "ledger": "".join(ledger.to_line(item) for item in host.ledger),
            "ports": dict(host.ports),
            "listening": [22],
        }
        if host.name in self.edges:
            seen["edge"] = {
                "record": dict(host.record) if host.record["seq"] else None,
                "pending_alive": edge_record.pending_alive(host.record, self.now(host)),
                "age": self.now(host) - host.changed,
                "config": host.config,
            }
        else:
            references = contracts.references(contract_of(run.version)) if run.action == "deploy" else []
            seen |= {
                "containers": [{**item, "state": self.reported(item)} for item in host.containers],
                "images": {
                    name: {"digest": "sha256:" + hashlib.sha256(name.encode()).hexdigest()} for name in references
                },
                "drained": False,
                "background": [],
                "retiring": host.retiring if host.retiring and self.now(host) < host.retiring["until"] else None,
                "images_present": [],
                "docker_root": "/var/lib/docker",
                "disk_free": 50 * 2**30,
            }
        return seen

    def change(self, edge: Host, run: Run, decide: Callable[[], edge_record.Record], extend: float = LEASE) -> Module:
        """One change of an edge's record, as edge_split makes it."""
        self.own(edge, run, extend)
        edge.record, edge.changed = decide(), self.now(edge)
        yield
        return {}

    def settle(self, edge: Host, run: Run) -> Module:
        plan = run.plan or {}
        if edge.name in plan["converge"]:
            self.require(plan["live"]["release"] in self.confirmed, f"3 {edge.name} adopts what no edge ever confirmed")
            return self.change(edge, run, lambda: edge_record.adopt(edge.record, **plan["live"], token=run.token))
        return self.change(edge, run, lambda: edge_record.abandon(edge.record, token=run.token))

    def flip(self, edge: Host, run: Run) -> Module:
        plan = run.plan or {}

        def tried() -> edge_record.Record:
            record = edge_record.propose(
                edge.record,
                release=plan["manifest"]["id"],
                slot=plan["slot"],
                percent=100,
                seconds=CONFIRM,
                token=run.token,
                now=self.now(edge),
            )
            edge.flip_ends = self.now(edge) + CONFIRM
            return record

        return self.change(edge, run, tried, CONFIRM + LEASE)

    def confirm(self, edge: Host, run: Run) -> Module:
        plan = run.plan or {}
        release, slot = plan["manifest"]["id"], plan["slot"]

        def made_permanent() -> edge_record.Record:
            after = self.confirmation(edge, run, release)
            if after is not edge.record:
                self.require(
                    self.now(edge) < edge.flip_ends + 0.001, f"7 {edge.name}: a flip that had gone back came back"
                )
                for name in plan["start"]:
                    well = name in self.excused or self.serves(self.hosts[name], slot, release)
                    self.require(well, f"3 {edge.name} confirms {release}, which {name} does not serve in {slot}")
                self.require(
                    plan["manifest"]["version"] in self.migrated, f"8 {release} is confirmed without its migration"
                )
            self.confirmed.add(release)
            edge.append(self.entry(run, "confirmed"))
            return after

        changed = self.change(edge, run, made_permanent)
        yield from changed
        if edge.name not in self.apps:
            self.give_back(edge, run)
        return {}

    def abandon(self, edge: Host, run: Run) -> Module:
        release = (run.plan or {})["manifest"]["id"]
        return self.change(edge, run, lambda: edge_record.abandon(edge.record, token=run.token, release=release))

    def configure(self, edge: Host, run: Run) -> Module:
        self.own(edge, run)
        edge.config = (run.plan or {})["edge_config"]
        yield
        return {}

    @staticmethod
    def entry(run: Run, event: str) -> ledger.Entry:
        """A ledger entry; one of a failure carries no manifest."""
        plan = run.plan or {}
        manifest = plan["manifest"] if event != "failed" else None
        item = ledger.entry(event, token=run.token, time="", run=run.ledger_run, manifest=manifest)
        return {**item, "release": plan["manifest"]["id"], "previous": plan["previous"]}

    def failed(self, host: Host, run: Run) -> Module:
        """As release_ledger after a step that failed."""
        self.own(host, run)
        host.append(self.entry(run, "failed"))
        self.give_back(host, run)
        yield
        return {}

    def released(self, host: Host, run: Run) -> Module:
        self.give_back(host, run)
        yield
        return {}

    def migrate(self, host: Host, run: Run) -> Module:
        """As db_migration: wait for a container of the fixed name, then run one of this release's own."""
        manifest = (run.plan or {})["manifest"]
        yield from self._wait_for_migration(host, run)
        self.own(host, run)
        for other in (self.hosts[name] for name in self.apps if name not in self.excused):
            running = other.migration and self.now(other) < other.migration["ends"]
            self.require(not running, f"8 two migrations at once, on {host.name} and {other.name}")
        ends = self.now(host) + MIGRATION
        host.migration = {"release": manifest["id"], "version": manifest["version"], "ends": ends, "cut_off": False}
        yield
        yield from self._wait_for_migration(host, run)
        self.own(host, run)
        ended, host.migration = host.migration, None
        yield
        if ended is None or ended["cut_off"]:
            raise Fault("migration failed with exit code 137")
        self.migrated.add(ended["version"])
        return {}

    def _wait_for_migration(self, host: Host, run: Run) -> Generator[None, None, None]:
        while host.migration and self.now(host) < host.migration["ends"]:
            self.own(host, run)
            self.t += 10
            yield

    def start(self, host: Host, run: Run) -> Module:
        """As release_slot with state=present."""
        plan = run.plan or {}
        manifest, slot = plan["manifest"], plan["slot"]
        self.own(host, run)
        if plan["flip"]:
            host.append(self.entry(run, "started"))
        fault = ports.clash(host.ports, ports.records("shop", manifest["ports"]))
        if fault:
            raise Fault(fault)
        host.ports |= ports.records("shop", manifest["ports"])
        yield
        self.own(host, run, PULL + LEASE)
        yield
        held = [item for item in host.containers if item["slot"] == slot]
        good = [item for item in held if item["release"] == manifest["id"] and self.reported(item) == "running"]
        stale = [item for item in held if item not in good]
        if stale:
            yield from self._empty(host, run, stale)
        self.own(host, run, WINDOW + LEASE)
        fresh = [] if good else [self._container(manifest, slot)]
        host.containers += fresh
        yield
        if manifest["version"] in host.unhealthy:
            raise Fault("not healthy within 30 s")
        for item in host.containers:
            if item["slot"] == slot:
                item["healthy"] = True
        return {}

    @staticmethod
    def _container(manifest: Mapping[str, Any], slot: str) -> dict[str, Any]:
        known = {"service": "backend", "replica": 0, "slot": slot, "release": manifest["id"], "state": "running"}
        return known | {"status": "Up", "version": manifest["version"], "healthy": False}

    def _empty(self, host: Host, run: Run, held: Sequence[dict[str, Any]]) -> Generator[None, None, None]:
        self.own(host, run, DRAIN + LEASE)
        yield
        self.own(host, run, DRAIN + LEASE)
        self.removes(host, held)
        host.containers = [item for item in host.containers if item not in held]
        yield

    def retire(self, host: Host, run: Run) -> Module:
        """As release_retire that does not wait: the rest is a process of the host's own."""
        plan = run.plan or {}
        self.own(host, run)
        if plan["confirm"]:
            host.append(self.entry(run, "confirmed"))
        old = plan["retire"]
        host.retiring = None  # an earlier run's
        if old:
            host.retiring = {**old, "until": self.now(host) + WARM + DRAIN}
            self.background.append((host, Process(self.retire_later(host, run, old), started=True)))
        self.give_back(host, run)
        yield
        return {}

    def undisturbed(self, host: Host, run: Run) -> bool | None:
        """As Guard.undisturbed."""
        if host.lease.highest != run.token:
            return False
        return True if host.lease.run_id in (None, run.id) else None

    def retire_later(self, host: Host, run: Run, old: Mapping[str, str]) -> Module:
        """As retire.finish, after the run."""
        while host.retiring and self.now(host) < host.retiring["until"]:
            yield
            undisturbed = self.undisturbed(host, run)
            if undisturbed is False:
                return {}
            if undisturbed:
                held = [item for item in host.containers if item["slot"] == old["slot"]]
                self.removes(host, held)
                host.containers = [item for item in host.containers if item not in held]
                host.retiring = None
                yield
        return {}

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
        names = [name for name in self.edges + self.apps if name not in run.lost]
        fenced = yield {name: self.fence(self.hosts[name], run) for name in names}
        silent_allowed = self.apps if run.action == "rollback" else ()
        answers: dict[str, Answer | None] = {name: fenced.get(name) for name in names}
        run.verdict = barrier.judge("fence", answers, barrier.start(0), silent_allowed=silent_allowed)
        if run.verdict["ok"]:
            self.decide(run, fenced)
        if run.plan:
            yield from self.carry_out(run, run.plan)
        else:
            owned = [name for name in names if "observation" in fenced[name]]
            yield {name: self.released(self.hosts[name], run) for name in owned}

    def carry_out(self, run: Run, plan: dict[str, Any]) -> Round:
        """Every step of a plan, each under the verdict so far."""
        everyone = [name for name in self.edges + self.apps if name not in plan["lost"]]
        steps: list[tuple[str, Callable[[Host], Module]]] = [
            ("settle", lambda host: self.settle(host, run)),
            ("migrate", lambda host: self.migrate(host, run)),
            ("start", lambda host: self.start(host, run)),
            ("configure", lambda host: self.configure(host, run)),
            ("flip", lambda host: self.flip(host, run)),
            ("confirm", lambda host: self.confirm(host, run)),
            ("retire", lambda host: self.retire(host, run)),
            ("give_back", lambda host: self.released(host, run)),
        ]
        for step, module in steps:
            if step not in plan["steps"]:
                continue
            run.at = step
            names = plan["asked"].get(step, everyone)
            given = (yield {name: module(self.hosts[name]) for name in names}) if run.verdict["ok"] else {}
            answers: dict[str, Answer | None] = {name: given.get(name) for name in names}
            if step != "give_back":
                run.verdict = barrier.judge(step, answers, run.verdict, noted=self.noted)
            if step == "configure" and run.verdict["ok"]:
                self.given_up |= set(plan["lost"]) & set(self.apps)
            if step == ("confirm" if plan["flip"] else "configure") and run.verdict["ok"]:
                self.excused -= {*everyone}  # they have been brought up to date
        run.at = "report"
        if not run.verdict["ok"]:
            if run.verdict["step"] == "flip":
                yield {name: self.abandon(self.hosts[name], run) for name in plan["flip"]}
            yield {name: self.failed(self.hosts[name], run) for name in everyone}

    def decide(self, run: Run, fenced: Mapping[str, Answer]) -> None:
        """The plan. Promises 5 and 6."""
        observed = {name: answer["observation"] for name, answer in fenced.items() if "observation" in answer}
        silent = frozenset(run.verdict["silent"])
        now = BEGIN + timedelta(seconds=self.t + run.skew)
        addresses = {name: self.hosts[name].address for name in self.apps}
        wish = plans.Wish(
            run.action,
            contract_of(run.version),
            addresses,
            self.edges,
            self.apps,
            now,
            run.lost,
            silent,
            age=self.age(run),
        )
        copies = [ledger.from_lines(item["ledger"]) for item in observed.values()]
        self.require(
            ledger.merge(copies) == ledger.merge(copies[::-1]), "6 the history depends on the order of the copies"
        )
        try:
            run.plan = plans.decide(wish, observed)
        except plans.PlanError as error:
            missing = len(observed) < len(self.hosts)  # and the last copy of a manifest may be there
            self.require(missing or "no ledger" not in str(error), f"6 {error}")
            run.verdict = {**run.verdict, "ok": False, "message": str(error)}
            return
        # An app host that was given up must be in no upstream until it is up to date, so it counts as soon as it is back.
        self.excused = self.excused - (self.given_up & set(observed)) | set(run.plan["lost"])
        self.given_up -= set(observed)
        if "configure" not in run.plan["steps"]:
            self.given_up |= set(run.plan["lost"]) & set(self.apps)
        if run.plan["status"] == "change" and run.action == "rollback":
            self.require(
                run.plan["manifest"]["id"] in self.confirmed, "5 a release that was never live is rolled back to"
            )
        if run.plan["status"] == "nothing":
            self.excused -= set(observed)  # the plan says that all of them are whole

    # --- the scheduler -----------------------------------------------------------------------------------------------

    def is_cut(self, run: Run, name: str) -> bool:
        return bool({(run.id, name), ("*", name)} & self.cut)

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
                run.over = True
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

    def kill(self, run: Run) -> None:
        """End a controller with kill -9: modules that had begun on their hosts go on there, without anybody who listens."""
        run.over = True
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
            self.background = [item for item in self.background if item[1].answer is None]
            if not self.background:
                return
            self._effect(self.background[first % len(self.background)][1])
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
        for run in self.runs:
            process = run.processes.get(name)
            if process and process.started and process.answer is None:
                process.answer = UNREACHABLE
        self.orphans = [item for item in self.orphans if item[0] is not host]
        self.background = [item for item in self.background if item[0] is not host]
        for item in host.containers:
            item["state"] = "running" if item["healthy"] else "exited"  # the policy comes with health
        if host.migration and self.now(host) < host.migration["ends"]:
            host.migration |= {"ends": self.now(host), "cut_off": True}
        self.check()
