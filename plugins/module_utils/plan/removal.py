# SPDX-License-Identifier: Apache-2.0
"""What removing an app would remove, as a person reads it before confirming. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

Found = Mapping[str, Mapping[str, Sequence[Any]]]  # host → kind → what there is of it

KINDS = ("edge", "containers", "jobs", "networks", "images", "ports", "state")


class NotConfirmed(Exception):
    """The confirmation is for something else; the message says what to do."""


def confirmation(app: str, found: Found) -> str:
    """The id of the plan: another one as soon as a host has something else of the app."""
    text = json.dumps({"app": app, "found": found}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def check(app: str, found: Found, confirm: str) -> bool:
    """Whether the removal is confirmed, by the app's name or the plan's id. Raises NotConfirmed for any other text."""
    if not confirm:
        return False
    if confirm not in (app, confirmation(app, found)):
        raise NotConfirmed(
            f"remove_confirm={confirm} is neither the app's name {app} nor the id of this plan {confirmation(app, found)}: read the plan and "
            "confirm it with one of them. Nothing was changed"
        )
    return True


def lines(app: str, found: Found, *, confirmed: bool, remove_data: bool, excluded: Sequence[str]) -> list[str]:
    """The plan."""
    there = {host: {kind: items for kind, items in kinds.items() if items} for host, kinds in found.items()}
    shown = [f"Remove {app} from every host"]
    for host, kinds in sorted(there.items()):
        if not kinds:
            shown.append(f"  {host:<10} nothing")
        for kind in (kind for kind in KINDS if kind in kinds):
            shown.append(f"  {host:<10} {kind:<10} {', '.join(map(str, kinds[kind]))}")
    for host in excluded:
        shown.append(f"  {host:<10} excluded: what it has of {app} stays")
    history = (
        "goes, on every host"
        if remove_data
        else f"is kept in /var/lib/sluice/removed/{app}.jsonl (-e remove_data=true)"
    )
    shown += [f"  history    {history}", "  database   stays; to drop it: docs/runbooks/remove-an-app.md"]
    if not confirmed:
        shown.append(f"Nothing was changed. To remove it: -e remove_confirm={confirmation(app, found)}")
    return shown
