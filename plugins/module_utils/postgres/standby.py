# SPDX-License-Identifier: Apache-2.0
"""What becomes of the data directory of a Postgres standby, decided from what is on its disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What replays WAL and answers refuses to with less of these than the server had that wrote it; label in the control file → setting:
# https://www.postgresql.org/docs/17/hot-standby.html#HOT-STANDBY-ADMIN
FLOORS = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}


def control(text: str) -> dict[str, str]:
    """What ``pg_controldata`` printed in the C locale, by label; empty when it printed nothing of the kind."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {label.strip(): value.strip() for label, value in pairs}


def system(found: Mapping[str, str]) -> str:
    """The system a cluster's data belongs to: the same on a primary and all copies of it. Empty when unknown."""
    return found.get("Database system identifier", "")


def at_least(settings: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """``settings`` with no less of what a recovery needs than its data says their server had."""
    raised = dict(settings)
    for label, name in FLOORS.items():
        if label in found and int(found[label]) > int(settings.get(name, 0)):
            raised[name] = found[label]
    return raised


def step(host: str, primary: str, local: Mapping[str, Any], primary_system: str, discard: str) -> dict[str, str]:
    """What to do so that ``host`` follows ``primary``.

    ``local`` is what the disk holds: ``exists`` (a data directory), ``follows`` (``standby.signal`` is in it), ``broken`` (it follows and
    does not get on) and ``control`` (see ``control``). ``primary_system`` is empty when the primary was not asked yet; what does not depend on
    it is decided without. ``discard`` names the host whose own data may be given up.

    Returns ``step`` and, for a refusal, ``why``:

    - ``copy``: nothing is there; take a base backup
    - ``keep``: it follows already
    - ``rewind``: it was a primary of the same system; rewind it to where the histories part
    - ``replace``: move aside what is there, then copy
    - ``ask``: the primary's system has to be known
    - ``refuse``: it holds data of its own, and its removal was not confirmed
    """
    if not local["exists"]:
        return {"step": "copy"}
    way_out = f"ansible-playbook playbooks/database/rejoin.yml -e rejoin_confirm={host}"
    mine = system(local["control"])
    if not local["follows"] and discard != host:
        return {
            "step": "refuse",
            "why": (
                f"postgres_primary says that {host} follows {primary}, and {host} has data of its own (system {mine or 'unknown'}) and "
                f"follows nobody. If it was promoted, name it in postgres_primary. To discard its data: {way_out}"
            ),
        }
    if not primary_system:
        return {"step": "ask"}
    if mine == primary_system:
        if not local["follows"]:
            return {"step": "rewind"}
        return {"step": "replace" if local.get("broken") and discard == host else "keep"}
    if discard == host:
        return {"step": "replace"}
    return {
        "step": "refuse",
        "why": (
            f"{host} holds a copy of another system ({mine or 'unknown'}) than that of its primary {primary} ({primary_system}). "
            f"To move it aside and copy the primary again: {way_out}"
        ),
    }
