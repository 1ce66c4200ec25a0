# SPDX-License-Identifier: Apache-2.0
"""The hosts and controllers of a fleet in memory, and the promises, checked against facts that the functions under test do not keep."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.plan import barrier
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import Lease, Now

Answer = dict[str, Any]
Module = Generator[None, None, Answer]
Round = Generator[dict[str, Module], dict[str, Answer], None]

BEGIN = datetime(2026, 11, 22, 23, 15, tzinfo=UTC)
UNREACHABLE: Answer = {"unreachable": True, "msg": "timed out"}
LEASE, CONFIRM, DRAIN, MIGRATION, WARM = 15.0, 60.0, 10.0, 40.0, 120.0  # seconds


class Violation(AssertionError):
    """A promise is broken; the message begins with which one."""


class Fault(Exception):
    """A module fails in a way the hosts may fail."""


@functools.cache
def contract_of(version: str, engine: str = "prisma") -> dict[str, Any]:
    """The contract of a small app at a version; with the engine ``sql`` what a deploy that fails has migrated is undone, where a run says so."""
    image = "registry.test:5000/shop/backend"
    back = {"app_rollback": {"data": "down", "automatic": True}} if engine == "sql" else {}
    return contracts.resolve(
        {
            "app_name": "shop",
            "app_version": version,
            "app_services": {"backend": {"image": image, "port": 4000, "health": {"path": "/ready"}}},
            "app_routes": [{"path": "/", "service": "backend"}],
            "app_migration": {"engine": engine, "service": "backend", **({"path": "sql"} if engine == "sql" else {})},
            "app_env": {"DATABASE_URL": "postgresql://db/shop"},
            **back,
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
    offset: float = 0.0  # how far its wall clock is ahead
    boots: int = 0
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
    adopting: str = ""  # the release that an edge has been narrowed to, and adopts next
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
    """One controller, and the processes that renew its leases."""

    id: str
    action: str
    version: str
    excluded: frozenset[str] = frozenset()
    skew: float = 0.0
    to: str | None = None  # the version that a rollback names
    reverted: str | None = None  # the release that it names as the one to undo
    data: str = "forward"  # what becomes of the migrations of a release that is taken back, or fails
    begun: float = 0.0
    rounds: Round | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    plan: dict[str, Any] | None = None
    verdict: dict[str, Any] = field(default_factory=dict)
    at: str = "fence"  # the step under way
    pending: list[str] = field(default_factory=list)  # migrations that it is about to apply
    revert: list[str] = field(default_factory=list)  # those that it is about to undo
    aborted: dict[str, Answer] = field(default_factory=dict)  # what the edges said when it put the split back
    over: bool = False
    beats: bool = True  # whether its leases are renewed
    fenced: set[str] = field(default_factory=set)
    reported: set[str] = field(default_factory=set)  # the hosts that know that it has ended

    @property
    def token(self) -> int:
        return int(self.plan["token"]) if self.plan else 0

    @property
    def ledger_run(self) -> dict[str, str]:
        return {"id": self.id, "action": self.action, "who": "anna@build"}


class Referee:
    """All hosts, all controllers, and what must be true of them after each effect."""

    noted: Collection[str] = barrier.NOTED
    noted_before_undo: Collection[str] = ()
    engine = "prisma"
    keep_releases = 5

    def __init__(self, edges: int = 2, apps: int = 2) -> None:
        self.t = 0.0
        self.edges = [f"edge{index + 1}" for index in range(edges)]
        self.apps = [f"app{index + 1}" for index in range(apps)]
        self.hosts = {name: Host(name, f"10.0.0.{index + 1}") for index, name in enumerate(self.edges + self.apps)}
        self.runs: list[Run] = []
        self.orphans: list[tuple[Host, Process]] = []
        self.workers: list[tuple[Host, Process]] = []  # what hosts do after a run has ended
        self.cut: set[tuple[str, str]] = set()  # (run id or *, host)
        self.confirmed: set[str] = set()
        self.migrated: set[str] = set()
        self.excused: set[str] = (
            set()
        )  # took no part in a run that went on without them, and not brought up to date since
        self.given_up: set[str] = set()  # app hosts among them that no edge sends anything to
        self.broken = False

    def require(self, holds: bool, promise: str) -> None:
        """Raise Violation unless the promise holds."""
        if not holds:
            self.broken = True
            raise Violation(promise)

    def now(self, host: Host) -> float:
        """Seconds of this host's wall clock."""
        return self.t + host.offset

    def lease_now(self, host: Host) -> Now:
        """What a host measures leases by."""
        return Now(f"boot{host.boots}", self.t, self.now(host))

    def is_cut(self, run: Run, name: str) -> bool:
        """Whether a run does not reach a host now."""
        return bool({(run.id, name), ("*", name)} & self.cut)

    def reached(self, edge: Host, slot: str) -> list[Host]:
        """The app hosts an edge sends a slot's requests to, without those that take no part now."""
        addresses = upstreams(edge.config).get(slot, set())
        return [
            self.hosts[name] for name in self.apps if self.hosts[name].address in addresses and name not in self.excused
        ]

    def has_migrated(self, version: str) -> bool:
        """Whether the database has what a version brings."""
        return version in self.migrated

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
                        self.serves(host, slot, release) or self.serves(host, slot, edge.adopting),
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

    def prove(self, host: Host, run: Run) -> Lease:
        """The lease after a run proved that it owns the app."""
        return leases.prove(host.lease, run_id=run.id, token=run.token, now=self.lease_now(host))

    def condemned(self, item: dict[str, Any]) -> None:
        """Mark a container that is about to be stopped, as slot.condemn does."""
        item["condemned"] = True

    def renewed(self, host: Host, run: Run) -> Lease:
        """The lease after a run's controller was seen alive."""
        return leases.renew(host.lease, run_id=run.id, ttl=LEASE, now=self.lease_now(host))

    def ended(self, host: Host, run: Run) -> Lease:
        """The lease after a run's controller has expired, not released."""
        return leases.expire(host.lease, run_id=run.id, now=self.lease_now(host))

    def confirmation(self, edge: Host, run: Run, release: str) -> edge_record.Record:
        """An edge's record after a confirmation."""
        return edge_record.confirm(edge.record, release=release, token=run.token, now=self.now(edge))

    def reported(self, item: Mapping[str, Any]) -> str:
        """A container's state, as docker_host.app_containers tells it."""
        nothing = item["state"] == "running" and (not item["healthy"] or item["condemned"])
        return "starting" if nothing else str(item["state"])

    def age(self, run: Run) -> float:
        """Seconds since a run began, by its controller's clock."""
        return self.t - run.begun

    def timers(self) -> None:
        """What happens by itself as time passes."""
