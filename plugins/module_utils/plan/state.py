# SPDX-License-Identifier: Apache-2.0
"""What a plan is made from: what is wanted, what every host said, and what follows from both about who is there and what is live. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import render_app
from ansible_collections.sluice.stack.plugins.module_utils.plan import disk_space, migrations, placement
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import Desired, Observation, PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean


@dataclass(frozen=True)
class State:
    """What a plan is made from."""

    desired: Desired
    observed: Mapping[str, Observation]
    edges: Sequence[str]
    apps: Sequence[str]  # those that answer and are not drained
    drained: frozenset[str]
    history: History
    live: Mapping[str, str] | None
    live_manifest: Manifest | None
    lagging: Sequence[str]

    def spread(self, manifest: Manifest) -> dict[str, list[str]]:
        """App host → the services it has of a release when this run is done."""
        return placement.spread(manifest, self.desired.apps, self.apps, self.desired.excluded | self.drained)

    def holds(self, host: str, manifest: Manifest, slot: str, healthy: bool = False) -> bool:
        """Whether an app host has everything of a release that it shall have of it, in the slot."""
        names = self.spread(manifest)[host]
        return placement.holds(self.observed[host], manifest, slot, names, healthy)

    def lacking(self, manifest: Manifest, slot: str, healthy: bool = False) -> list[str]:
        """The app hosts where something of a release has to be started, or an image is missing for what follows it."""
        return [
            host
            for host, names in self.spread(manifest).items()
            if host in self.apps
            and (
                not self.holds(host, manifest, slot, healthy)
                or placement.down(self.observed[host], manifest, names)
                or disk_space.missing(manifest, placement.alongside_slots(manifest, names), self.observed[host])
            )
        ]

    def migration(self, target: Manifest) -> dict[str, Any] | None:
        """The migration that a run to ``target`` carries out."""
        restored = self.history.restored is not None
        return migrations.migration(self.desired, target, self.live_manifest, self.apps, restored=restored)

    def config(
        self, other: Manifest | None, target: Manifest, slot: str, other_on: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The edges' configuration for ``target`` in ``slot`` beside ``other``, and the edges that have another one.

        A host the run goes on without is in no upstream: nobody knows what it holds, or will hold. ``other_on`` are the hosts that
        hold ``other``: one that was lost and is back must not be brought into a slot it does not have. Where none of them is left, those
        that do not answer may still serve it, and nobody else does.
        """
        absent = self.desired.excluded | self.desired.unreachable
        hosts = {
            host: address
            for host, address in self.desired.addresses.items()
            if host not in absent and host not in self.drained
        }
        holding = {host: hosts[host] for host in other_on or [] if host in hosts}
        if other_on is not None and not holding:
            holding = {host: address for host, address in self.desired.addresses.items() if host in absent}
        text = render_app(other, target, hosts, self.desired.http_port, slot, holding or None)
        stale = [host for host in self.edges if self.observed[host]["edge"]["config"] != text]
        return {"edge_config": text, "configure": stale}

    def answering(self) -> list[str]:
        """The app hosts that answer, also those that are drained."""
        return [host for host in self.desired.apps if host in self.observed]


def read(desired: Desired, observed: Mapping[str, Observation]) -> State:
    """What there is to plan from; raises PlanError when it is too little."""
    for host, address in desired.addresses.items():
        _require_address(host, address)
    edges = [host for host in desired.edges if host in observed]
    drained = _drained(desired, observed)
    apps = [host for host in desired.apps if host in observed and host not in drained]
    if not edges:
        raise PlanError(
            "no edge host is left to send requests anywhere; check the inventory group 'edge' and release_exclude_hosts"
        )
    if not apps:
        raise PlanError(
            "no app host is left to run the release; check the inventory group 'app' and release_exclude_hosts, and bring drained hosts "
            "back with playbooks/hosts/join.yml"
        )
    history = ledger.merge_texts(item["ledger"] for item in observed.values())
    live, lagging = confirmed_by_edges(edges, observed, history)
    return State(desired, observed, edges, apps, drained, history, live, _manifest_of(history, live, edges), lagging)


def _drained(desired: Desired, observed: Mapping[str, Observation]) -> frozenset[str]:
    """The app hosts that get no requests when this run is done."""
    drained = {host for host in desired.apps if host in observed and observed[host]["drained"]}
    if desired.host is not None and desired.host not in desired.apps:
        raise PlanError(
            f"release_host={desired.host} is no app host of the inventory: {did_you_mean(desired.host, list(desired.apps))}"
        )
    if desired.host is not None and desired.host not in observed:
        raise PlanError(f"{desired.host} does not answer: it can neither join nor be drained")
    if desired.action == "drain":
        return frozenset(drained | {str(desired.host)})
    return frozenset(drained - {str(desired.host)} if desired.action == "join" else drained)


def _require_address(host: str, address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise PlanError(
            f"the address of {host} is {address!r}, which is not an IP address: set stack_address for it, the private address by which the "
            "edges reach it"
        ) from None


def confirmed_by_edges(
    edges: Sequence[str], observed: Mapping[str, Observation], history: History
) -> tuple[dict[str, str] | None, list[str]]:
    """What the edges confirmed last, and the edges that confirmed something older (a run died between two confirms).

    Which of two confirmed releases is the later one is told by the run that started it: a record's own token and count also grow
    by flips that were never confirmed. An edge that a run went on without since, and may have cleared the slot of, is heard when no other is.
    """
    records = {host: observed[host]["edge"]["record"] or {} for host in edges}
    confirmed = {host: record for host, record in records.items() if record.get("confirmed")}
    if not confirmed:
        return None, []
    heard = {
        host: record for host, record in confirmed.items() if record["token"] >= history.left_out.get(host, 0)
    } or confirmed
    begun = {item["release"]: item["token"] for item in history.entries if item["event"] in ("started", "confirmed")}
    newest = max(
        heard.values(),
        # Halves of a fleet that were excluded in turn gave the same token to two runs; a release's id begins with its time.
        key=lambda record: (
            begun.get(record["confirmed"]["release"], 0),
            record["confirmed"]["release"],
            record["token"],
            record["seq"],
        ),
    )["confirmed"]
    lagging = [host for host in edges if records[host].get("confirmed") != newest]
    return dict(newest), lagging


def _manifest_of(history: History, live: Mapping[str, str] | None, edges: Sequence[str]) -> Manifest | None:
    if live is None:
        return None
    found = history.manifests.get(live["release"])
    if found is None:
        raise PlanError(
            f"edges {', '.join(edges)} serve release {live['release']}, but no ledger of any host has its manifest: "
            "bring back a host that has it (/var/lib/sluice/apps/<app>/ledger.jsonl) and run the command again"
        )
    return found
