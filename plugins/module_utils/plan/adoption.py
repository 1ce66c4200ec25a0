# SPDX-License-Identifier: Apache-2.0
"""What an edge that missed the live release needs before it adopts that: upstreams with the hosts that hold it, and no others. Pure.

Such an edge was excluded, or its run died. Its configuration is as old as its record: it may name hosts that hold another release in the live
slot, or nothing. The hosts without the live release are brought up to date after that, while no edge sends them requests.
"""

from __future__ import annotations

from ansible_collections.sluice.stack.plugins.module_utils.plan.state import State
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import Manifest


def narrowed(now: State) -> dict[str, str]:
    """Edge → the configuration that it gets before it adopts the live release; edges whose own one is good are left out.

    With no host that holds the release there is nothing better to send requests to, and edges keep what they have.
    """
    live, manifest = now.live, now.live_manifest
    if live is None or manifest is None:
        return {}
    holding = [host for host in now.apps if now.holds(host, manifest, live["slot"])]
    if not holding:
        return {}
    good = complete(now, live["slot"], manifest) if len(holding) == len(now.apps) else None
    found = {}
    for edge in now.lagging:
        config = now.observed[edge]["edge"]["config"]
        text = _for(now, edge, manifest, holding)
        if config not in (good, text):
            found[edge] = text
    return found


def complete(now: State, slot: str, manifest: Manifest) -> str:
    """The configuration of an edge that is up to date."""
    before = now.history.before.get(manifest["id"])
    if not before:
        return str(now.config(None, manifest, slot)["edge_config"])
    other = now.history.manifests.get(before["release"])
    return str(now.config(other, manifest, slot, before["hosts"])["edge_config"])


def _for(now: State, edge: str, manifest: Manifest, holding: list[str]) -> str:
    """The live release in its slot on ``holding``; in the other slot, until the edge adopts, what it has confirmed itself."""
    slot = str((now.live or {})["slot"])
    confirmed = (now.observed[edge]["edge"]["record"] or {}).get("confirmed")
    mine = str(confirmed["slot"]) if confirmed else slot
    own = now.history.manifests.get(confirmed["release"]) if confirmed and mine != slot else None
    addresses = {host: now.desired.addresses[host] for host in holding}
    theirs = {host: now.desired.addresses[host] for host in now.apps if own and now.holds(host, own, mine)}
    return now.rendered(own, manifest, addresses, slot, theirs)
