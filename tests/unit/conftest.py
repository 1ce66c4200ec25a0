# SPDX-License-Identifier: Apache-2.0
"""A small app, and a fleet in memory that plans are made for and carried out on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import contract as contracts
from ansible_collections.sluice.stack.plugins.module_utils.plan import plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger, ports
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import kind
from hypothesis import settings

# The whole suite runs on every save; for a longer look: pytest --hypothesis-profile=long
settings.register_profile("quick", max_examples=40, stateful_step_count=25, deadline=None)
settings.register_profile("long", max_examples=2000, stateful_step_count=100, deadline=None)
settings.load_profile("quick")

BEGIN = datetime(2026, 11, 22, 23, 15, tzinfo=UTC)


def app_variables(**changes: Any) -> dict[str, Any]:
    """The variables of a small app; ``changes`` replace whole variables, None leaves one out."""
    variables = {
        "app_name": "shop",
        "app_version": "v1.0.0",
        "app_services": {
            "backend": {
                "image": "registry.test:5000/shop/backend",
                "port": 4000,
                "health": {"path": "/ready"},
                "env": {"LOG_LEVEL": "info"},
                "secrets": ["DATABASE_URL"],
            },
            "frontend": {"image": "registry.test:5000/shop/frontend", "port": 8080},
        },
        "app_routes": [{"path": "/api", "service": "backend"}, {"path": "/", "service": "frontend"}],
        "app_migration": {"engine": "prisma", "service": "backend"},
        "app_backup": {"restore_point": False},
        "app_secrets": {"DATABASE_URL": "postgresql://shop:hunter2@db/shop"},
    }
    return {name: value for name, value in {**variables, **changes}.items() if value is not None}


class Fleet:
    """Hosts that answer a plan's questions, and do what a plan says."""

    def __init__(self) -> None:
        self.edges, self.apps = ["edge1"], ["app1", "app2"]
        self.now = BEGIN
        self.variables: dict[str, Any] = app_variables()
        self.database = {"host": "db1", "engine": "pgbackrest"}
        self.observed: dict[str, dict[str, Any]] = {}
        for host in [*self.edges, *self.apps]:
            self.add(host)

    def add(self, host: str) -> None:
        """A fresh host."""
        self.observed[host] = {"now": 0.0, "lease": {}, "highest": 0, "ledger": "", "ports": {}, "listening": [22]}
        if host in self.edges:
            self.observed[host]["edge"] = {"record": None, "pending_alive": False, "config": ""}
        if host in self.apps:
            self.observed[host] |= {
                "containers": [],
                "retiring": None,
                "drained": False,
                "workers": [],
                "gaps": {},
                "images": {},
                "images_present": [],
                "docker_root": "/var/lib/docker",
                "disk_free": 50 * 2**30,
            }

    def desired(self, action: str = "deploy", **more: Any) -> plans.Desired:
        """A wish for the app as the variables describe it; every image's digest follows from its tag."""
        contract = contracts.resolve(self.variables, needs_version=action in ("deploy", "rehearsal"))
        for host in self.apps:
            self.observed[host]["images"] = {
                reference: self.observed[host]["images"].get(reference) or {"digest": digest(reference)}
                for reference in contracts.references(contract)
            }
        self.now += timedelta(minutes=1)
        addresses = {host: f"10.0.0.{index + 21}" for index, host in enumerate(self.apps)}
        return plans.Desired(
            action, contract, addresses, self.edges, self.apps, self.now, database=self.database, **more
        )

    def plan(self, action: str = "deploy", **more: Any) -> dict[str, Any]:
        """The plan for the app on the hosts that answer."""
        desired = self.desired(action, **more)
        absent = desired.excluded | desired.unreachable
        return plans.decide(desired, {host: item for host, item in self.observed.items() if host not in absent})

    def version(self, version: str) -> None:
        """Ask for another version from now on."""
        self.variables["app_version"] = version

    def execute(self, plan: Mapping[str, Any], steps: tuple[str, ...] = ("start", "flip", "record", "retire")) -> None:
        """Do what the plan says, or only its first steps, as after a crash."""
        for step in steps:
            getattr(self, f"_{step}")(plan)

    def run(self, action: str = "deploy", **more: Any) -> dict[str, Any]:
        """Plan, and carry the plan out."""
        plan = self.plan(action, **more)
        self.execute(plan)
        return plan

    def _start(self, plan: Mapping[str, Any]) -> None:
        manifest = plan["manifest"]
        for host in plan["start"]:
            item = self.observed[host]
            item["highest"] = plan["token"]
            if plan["flip"]:
                item["ledger"] += ledger.to_line(self._entry("started", plan))
            item["ports"] = {**item["ports"], **ports.records(manifest["app"], manifest["ports"])}
            images = {manifest["services"][name]["image"] for name in plan["services"][host]}
            item["images_present"] = sorted({*item["images_present"], *images})
            kept = [one for one in item["containers"] if one["slot"] != plan["slot"]]
            item["containers"] = kept + [
                {
                    "service": name,
                    "slot": plan["slot"],
                    "release": manifest["id"],
                    "replica": replica,
                    "state": "running",
                    "status": "Up 1 minute",
                    "healthy": True,
                }
                for name, service in manifest["services"].items()
                if kind(service) == "web" and name in plan["services"][host]
                for replica in range(service["replicas"])
            ]

    def _flip(self, plan: Mapping[str, Any]) -> None:
        for host in plan["configure"]:
            self.observed[host]["edge"]["config"] = plan["edge_config"]
        for host in plan["flip"]:
            self.confirm(host, plan["manifest"]["id"], plan["slot"], plan["token"])

    def confirm(self, edge: str, release: str, slot: str, token: int) -> None:
        """An edge's confirmed record."""
        before = self.observed[edge]["edge"]["record"] or {"seq": 0}
        self.observed[edge]["edge"]["age"] = 60.0
        self.observed[edge]["highest"] = token
        self.observed[edge]["edge"]["record"] = {
            "app": "shop",
            "confirmed": {"release": release, "slot": slot},
            "pending": None,
            "deadline": None,
            "token": token,
            "seq": before["seq"] + 2,
        }

    def _record(self, plan: Mapping[str, Any]) -> None:
        for host, item in self.observed.items():
            if host in plan["confirm"] or (plan["confirm"] and host in plan["record"]):
                item["ledger"] += ledger.to_line(self._entry("confirmed", plan))

    def _retire(self, plan: Mapping[str, Any]) -> None:
        for host in plan["record"]:
            if plan["retire"]:
                kept = [one for one in self.observed[host]["containers"] if one["slot"] != plan["retire"]["slot"]]
                self.observed[host]["containers"] = kept

    def _entry(self, event: str, plan: Mapping[str, Any]) -> ledger.Entry:
        run = {"action": plan["action"], "id": f"run{plan['token']}", "who": "anna@build"}
        return ledger.entry(
            event,
            token=plan["token"],
            time=self.now.isoformat(),
            run=run,
            manifest=plan["manifest"],
            previous=plan["previous"],
            revert=plan["to_revert"],
            # The host that migrates finds out.
            migrating=plan.get("migrating", []),
            **({"contracts": plan["contracts"]} if "contracts" in plan else {}),
        )


def digest(reference: str) -> str:
    """What the registry says an image reference is."""
    return "sha256:" + hashlib.sha256(reference.encode()).hexdigest()


@pytest.fixture
def fleet() -> Fleet:
    """One edge and two app hosts, all fresh."""
    return Fleet()


@pytest.fixture
def variables() -> Callable[..., dict[str, Any]]:
    """The variables of a small app, with changes."""
    return app_variables


@pytest.fixture
def contract() -> dict[str, Any]:
    """The contract of the small app."""
    return contracts.resolve(app_variables())


@pytest.fixture
def guard(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    """A run that holds the lease of the small app on this host."""
    held = Guard("shop", "a", 1, str(tmp_path_factory.mktemp("state")))
    held.fence(action="deploy", who="ann", begun="a", ttl=60, preempt=False)
    return held
