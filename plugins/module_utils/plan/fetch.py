# SPDX-License-Identifier: Apache-2.0
"""Which secrets an app host needs and does not have, and where they are: those that only hosts read, and those of a release it never had. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract.contract import UNREAD
from ansible_collections.sluice.stack.plugins.module_utils.release import credentials
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History

Wanted = dict[str, dict[str, Any]]  # the name of a secret → its ``version`` and a reference to that, its ``place``


def missing(
    plan: Mapping[str, Any], contract: Mapping[str, Any], history: History, observed: Mapping[str, Mapping[str, Any]]
) -> dict[str, Wanted]:
    """Return what each host that needs the release's secrets has to fetch. One whose place is not known is left to the step that needs it."""
    target = plan["manifest"]
    here = {
        (name, version)
        for name, version in credentials.versions(contract).items()
        if version != UNREAD and name not in contract.get("secrets_unseen", ())
    }
    wanted = {
        name: {"version": version, "place": place}
        for name, version in credentials.versions(target).items()
        if (name, version) not in here and (place := _place(name, version, target, history))
    }
    found = {}
    for host in sorted(set(_hosts(plan))):
        held = observed[host].get("secrets", ())
        lacking = {name: one for name, one in wanted.items() if f"{name}.{one['version']}" not in held}
        if lacking:
            found[host] = lacking
    return found


def _hosts(plan: Mapping[str, Any]) -> Iterator[str]:
    """The hosts of all steps that use secrets."""
    yield from plan["start"]
    yield from plan["workers"]
    for step in ("migrate", "schema_check", "revert", "on_failure"):
        if plan[step]:
            yield plan[step]["host"]
    if plan["rehearse"]:
        yield plan["rehearse"]["on"]


def _place(name: str, version: str, target: Mapping[str, Any], history: History) -> dict[str, Any] | None:
    """Return where a version of a secret is, by the release, or by another one that had it."""
    for manifest in (target, *history.manifests.values()):
        if credentials.versions(manifest).get(name) == version:
            place: dict[str, Any] | None = manifest.get("secret_places", {}).get(name)
            if place:
                return place
    return None
