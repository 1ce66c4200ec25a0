# SPDX-License-Identifier: Apache-2.0
"""What the modules do on a host of the fleet in memory; they mirror plugins/modules: change them together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.edge import record as edge_record
from ansible_collections.sluice.stack.plugins.module_utils.release import compaction, ledger, ports
from ansible_collections.sluice.stack.plugins.module_utils.release import lease as leases

from tests.support.fleet_referee import (
    CONFIRM,
    DRAIN,
    LEASE,
    MIGRATION,
    WARM,
    Answer,
    Fault,
    Host,
    Module,
    Process,
    Referee,
    Run,
    contract_of,
)


class Modules(Referee):
    """A module is a generator that yields after each effect on its host."""

    def own(self, host: Host, run: Run) -> None:
        """Go through the guard. Promise 2: whoever comes through fenced the host last."""
        host.lease = self.prove(host, run)
        self.require(host.owner == run.id, f"2 {run.id} changes {host.name}, which {host.owner} owns")

    def release_lease(self, host: Host, run: Run, completed: bool = False) -> None:
        """As Guard.release."""
        host.lease = leases.release(host.lease, run_id=run.id, completed=completed)
        host.owner = host.lease.run_id

    def fence(self, host: Host, run: Run) -> Module:
        """As release_fence. Promises 10 and 11, which time alone may break."""
        preempt = run.action == "rollback"
        before, owner = host.lease, next((one for one in self.runs if one.id == host.lease.run_id), run)
        try:
            self._take(host, run, preempt)
        except leases.LeaseHeld:
            self.require(
                host.name not in owner.reported, f"11 {host.name} is kept from {run.id} by {owner.id}, which has ended"
            )
            raise
        works = before.working and not owner.over and owner.beats and not self.is_cut(owner, host.name)
        self.require(
            preempt or owner is run or not works, f"10 {run.id} takes {host.name} from {owner.id}, which works"
        )
        host.owner = run.id
        run.fenced.add(host.name)
        yield
        return {"observation": self.observe(host, run)}

    def _take(self, host: Host, run: Run, preempt: bool) -> None:
        host.lease = leases.fence(
            host.lease,
            run_id=run.id,
            action=run.action,
            who="anna@build",
            begun=f"{run.begun:09.0f}",
            ttl=LEASE,
            preempt=preempt,
            now=self.lease_now(host),
        )

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
            references = contracts.references(contract_of(run.version, self.engine)) if run.action == "deploy" else []
            seen |= {
                "containers": [{**item, "state": self.reported(item)} for item in host.containers],
                "images": {
                    name: {"digest": "sha256:" + hashlib.sha256(name.encode()).hexdigest()} for name in references
                },
                "drained": False,
                "workers": [],
                "retiring": host.retiring if host.retiring and self.now(host) < host.retiring["until"] else None,
                "images_present": [],
                "docker_root": "/var/lib/docker",
                "disk_free": 50 * 2**30,
            }
        return seen

    def change(self, edge: Host, run: Run, decide: Callable[[], edge_record.Record]) -> Module:
        """One change of an edge's record, as edge_split makes it."""
        self.own(edge, run)
        edge.record, edge.changed = decide(), self.now(edge)
        yield
        return {}

    def narrow(self, edge: Host, run: Run) -> Module:
        self.own(edge, run)
        plan = run.plan or {}
        edge.config, edge.adopting = plan["narrow"][edge.name], plan["live"]["release"]
        yield
        return {}

    def reconcile(self, edge: Host, run: Run) -> Module:
        plan = run.plan or {}

        def adopted() -> edge_record.Record:
            edge.adopting = ""
            return edge_record.adopt(edge.record, **plan["live"], token=run.token)

        if edge.name in plan["converge"]:
            self.require(plan["live"]["release"] in self.confirmed, f"3 {edge.name} adopts what no edge ever confirmed")
            return self.change(edge, run, adopted)
        return self.change(edge, run, lambda: edge_record.abort(edge.record, token=run.token))

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

        return self.change(edge, run, tried)

    def confirm(self, edge: Host, run: Run) -> Module:
        plan = run.plan or {}
        release, slot = plan["manifest"]["id"], plan["slot"]

        def made_permanent() -> edge_record.Record:
            after = self.confirmation(edge, run, release)
            if after["confirmed"] != edge.record["confirmed"]:
                self.require(
                    self.now(edge) < edge.flip_ends + 0.001, f"7 {edge.name}: a flip that had gone back came back"
                )
                for name in plan["start"]:
                    healthy = name in self.excused or self.serves(self.hosts[name], slot, release)
                    self.require(healthy, f"3 {edge.name} confirms {release}, which {name} does not serve in {slot}")
            self.require(
                self.has_migrated(plan["manifest"]["version"]), f"8 {release} is confirmed without its migration"
            )
            self.confirmed.add(release)
            edge.append(self.entry(run, "confirmed"))
            self.compact(edge, {choice["release"] for choice in (after["confirmed"], after["pending"]) if choice})
            return after

        changed = self.change(edge, run, made_permanent)
        yield from changed
        if edge.name not in self.apps and "revert" not in plan["steps"]:
            self.release_lease(edge, run)
        return {}

    def abort(self, edge: Host, run: Run) -> Module:
        release = (run.plan or {})["manifest"]["id"]
        return self.change(edge, run, lambda: edge_record.abort(edge.record, token=run.token, release=release))

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
        return {**item, "release": plan["manifest"]["id"], "previous": plan["previous"], "without": plan["excluded"]}

    def compact(self, host: Host, pinned: Collection[str]) -> None:
        """As Guard.finish and release_retire do it."""
        host.ledger = compaction.compact(host.ledger, self.keep_releases, pinned)

    def failed(self, host: Host, run: Run) -> Module:
        """As release_ledger after a step that failed."""
        self.own(host, run)
        host.append(self.entry(run, "failed"))
        self.release_lease(host, run)
        yield
        return {}

    def released(self, host: Host, run: Run) -> Module:
        self.release_lease(host, run, completed={*(run.plan or {}).get("steps", ())} > {"unlock"} and run.verdict["ok"])
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
        held = [item for item in host.containers if item["slot"] == slot]
        good = [item for item in held if item["release"] == manifest["id"] and self.reported(item) == "running"]
        stale = [item for item in held if item not in good]
        if stale:
            yield from self._empty(host, run, stale)
        self.own(host, run)
        fresh = [] if good else [self._container(manifest, slot)]
        host.containers += fresh
        yield
        if manifest["version"] in host.unhealthy:
            raise Fault("not healthy within 30 s")
        self.own(host, run)
        for item in host.containers:
            if item["slot"] == slot:
                item["healthy"] = True
        return {}

    @staticmethod
    def _container(manifest: Mapping[str, Any], slot: str) -> dict[str, Any]:
        known = {"service": "backend", "replica": 0, "slot": slot, "release": manifest["id"], "state": "running"}
        return known | {"status": "Up", "version": manifest["version"], "healthy": False, "condemned": False}

    def _empty(self, host: Host, run: Run, held: Sequence[dict[str, Any]]) -> Generator[None, None, None]:
        self.own(host, run)
        yield
        self.own(host, run)
        yield from self._stop_condemned(host, held)

    def _stop_condemned(self, host: Host, held: Sequence[dict[str, Any]]) -> Generator[None, None, None]:
        """As slot.condemn, and slot.stop, which needs no right any more: another run may have fenced in between."""
        self.removes(host, held)
        for item in held:
            self.condemned(item)
        yield
        gone = [item for item in host.containers if any(item is one for one in held)]
        self.removes(host, gone)
        host.containers = [item for item in host.containers if not any(item is one for one in gone)]
        yield

    def retire(self, host: Host, run: Run) -> Module:
        """As release_retire that does not wait: the rest is a process of the host's own."""
        plan = run.plan or {}
        self.own(host, run)
        if plan["confirm"]:
            host.append(self.entry(run, "confirmed"))
        self.compact(host, {item["release"] for item in host.containers})
        old = plan["retire"]
        host.retiring = None  # an earlier run's
        if old:
            host.retiring = {**old, "until": self.now(host) + WARM + DRAIN}
            self.workers.append((host, Process(self.retire_later(host, run, old), started=True)))
        self.release_lease(host, run)
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
                yield from self._stop_condemned(host, held)
                if self.undisturbed(host, run):
                    host.retiring = None
                return {}
        return {}
