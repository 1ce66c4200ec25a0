# SPDX-License-Identifier: Apache-2.0
"""Where a host keeps what it knows."""

from __future__ import annotations

import os

STATE_ROOT = "/var/lib/sluice"
EDGE_RECORDS = "/var/lib/sluice-edge"
EDGE_CONFIGS = "/etc/nginx/sluice"


def app_folder(app: str, root: str = STATE_ROOT) -> str:
    """What a host knows of an app."""
    return os.path.join(root, "apps", app)


def ledger_file(app: str, root: str = STATE_ROOT) -> str:
    """The host's copy of an app's ledger."""
    return os.path.join(app_folder(app, root), "ledger.jsonl")


def removed_ledger(app: str, root: str = STATE_ROOT) -> str:
    """What is kept of an app that was removed: its history."""
    return os.path.join(root, "removed", f"{app}.jsonl")


def drained_file(app: str, root: str = STATE_ROOT) -> str:
    """Says, by being there, that the host gets none of the app's requests until it joins again."""
    return os.path.join(app_folder(app, root), "drained")


def gaps_file(app: str, root: str = STATE_ROOT) -> str:
    """For how long each service that must not run twice answered nobody when it was last replaced."""
    return os.path.join(app_folder(app, root), "gaps.json")


def ports_file(root: str = STATE_ROOT) -> str:
    """The slot ports of all apps."""
    return os.path.join(root, "ports.json")
