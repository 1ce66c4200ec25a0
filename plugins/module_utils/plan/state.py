# SPDX-License-Identifier: Apache-2.0
"""The input of a plan: the desired state, every host's observation, and what follows about the hosts and the live release. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.edge.nginx import render_app, tls_claims
from ansible_collections.sluice.stack.plugins.module_utils.edge.tls import NO_TLS, Tls
from ansible_collections.sluice.stack.plugins.module_utils.plan import disk_space, migrations, placement
from ansible_collections.sluice.stack.plugins.module_utils.plan.desired import Desired, Observation, PlanError
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History, Manifest
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean


@dataclass(frozen=True)
class State:
    """The input of a plan."""

    desired: Desired
    observed: Mapping[str, Observation]
    edges: Sequence[str]
    apps: Sequence[str]  # those that are reachable and not drained
    drained: frozenset[str]
    history: History
    live: Mapping[str, str] | None
    live_manifest: Manifest | None
    lagging: Sequence[str]

    @property
    def tls(self) -> Tls:
        """The edges' TLS; none while one of them was provisioned without, by the inventory of another app perhaps."""
        return NO_TLS if any(self.without_tls) else self.desired.tls

    @property
    def without_tls(self) -> list[str]:
        """The edges that cannot answer a handshake."""
        return [host for host in self.edges if not self.observed[host]["edge"].get("tls", True)]

    def in_the_clear(self, manifest: Manifest) -> list[str]:
        """The edges for which host names of a release that should have TLS are served without it."""
        names = {str(route["host"] or "") for route in manifest["routes"]}
        return self.without_tls if any(self.desired.tls.of(name) for name in names) else []

    def spread(self, manifest: Manifest) -> dict[str, list[str]]:
        """App host → the services it has of a release when this run is done."""
        return placement.spread(manifest, self.desired.apps, self.apps, self.desired.excluded | self.drained)

    def holds(self, host: str, manifest: Manifest, slot: str, healthy: bool = False) -> bool:
        """Whether an app host has all its services of a release in the slot."""
        names = self.spread(manifest)[host]
        return placement.holds(self.observed[host], manifest, slot, names, healthy)

    def lacking(self, manifest: Manifest, slot: str, healthy: bool = False) -> list[str]:
        """The app hosts where services of a release have to be started, or that lack an image for a later step."""
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
        """The migration that a run to ``target`` applies."""
        restored = self.history.restored is not None
        return migrations.migration(self.desired, target, self.live_manifest, self.apps, restored=restored)

    def config(
        self, other: Manifest | None, target: Manifest, slot: str, other_on: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Return the edges' configuration for ``target`` in ``slot`` alongside ``other``, and the edges where it differs.

        An excluded host is in no upstream: what it holds is unknown. ``other_on`` are the hosts that hold ``other``: a host that was
        excluded and is back must not join a slot it does not hold. When none of them is left, the unreachable ones stay in: they may
        still serve it, and no other host does.
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
        text = self.rendered(other, target, hosts, slot, holding)
        stale = [host for host in self.edges if self.observed[host]["edge"]["config"] != text]
        return {"edge_config": text, "configure": stale, "https": sorted(tls_claims(text))}

    def rendered(
        self, other: Manifest | None, new: Manifest, hosts: Mapping[str, str], slot: str, other_on: Mapping[str, str]
    ) -> str:
        """Return a configuration with what this run's inventory says about the edges."""
        protection = self.desired.contract["protection"]
        return render_app(other, new, hosts, self.desired.http_port, slot, other_on or None, self.tls, protection)

    def answering(self) -> list[str]:
        """The reachable app hosts, drained ones too."""
        return [host for host in self.desired.apps if host in self.observed]


def read(desired: Desired, observed: Mapping[str, Observation]) -> State:
    """Build the state from the observations; raises PlanError when no edge or no app host is left."""
    for host, address in desired.addresses.items():
        _require_address(host, address)
    edges = [host for host in desired.edges if host in observed]
    drained = _drained(desired, observed)
    apps = [host for host in desired.apps if host in observed and host not in drained]
    if not edges:
        raise PlanError("no edge host is left; check the inventory group 'edge' and release_exclude_hosts")
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
            f"release_host={desired.host} is not an app host of the inventory: {did_you_mean(desired.host, list(desired.apps))}"
        )
    if desired.host is not None and desired.host not in observed:
        raise PlanError(f"{desired.host} is unreachable: it can neither join nor be drained")
    if desired.action == "drain":
        return frozenset(drained | {str(desired.host)})
    return frozenset(drained - {str(desired.host)} if desired.action == "join" else drained)


def _require_address(host: str, address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise PlanError(
            f"the address of {host} is {address!r}, which is not an IP address: set its stack_address to the private address that the "
            "edges use"
        ) from None


def confirmed_by_edges(
    edges: Sequence[str], observed: Mapping[str, Observation], history: History
) -> tuple[dict[str, str] | None, list[str]]:
    """Return what the edges confirmed last, and the edges that confirmed something older (a run died between two confirms).

    The run that started a confirmed release decides which of two is later: a record's own token and count also grow by flips that
    were never confirmed. An edge that a run excluded since counts only when there is no other: its slot may have been cleared.
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
            f"edges {', '.join(edges)} serve release {live['release']}, but no host's ledger has its manifest: "
            "bring back a host that has it (/var/lib/sluice/apps/<app>/ledger.jsonl) and run the command again"
        )
    return found
