# SPDX-License-Identifier: Apache-2.0
"""Paths of a host's state."""

from __future__ import annotations

import os

STATE_ROOT = "/var/lib/sluice"
EDGE_RECORDS = "/var/lib/sluice-edge"
EDGE_CONFIGS = "/etc/nginx/sluice"
# What sluice-certificates last saw; see certificates/program.py.
CERTIFICATES_PLACEHOLDER = (
    "/var/lib/sluice-tls/placeholder.pem"  # of role edge_tls: without it no handshake is answered
)
CERTIFICATES_STATUS = "/var/lib/sluice/certificates/status.json"


def app_folder(app: str, root: str = STATE_ROOT) -> str:
    """Return the folder of a host's state of an app."""
    return os.path.join(root, "apps", app)


def ledger_file(app: str, root: str = STATE_ROOT) -> str:
    """Return the host's copy of an app's ledger."""
    return os.path.join(app_folder(app, root), "ledger.jsonl")


def removed_ledger(app: str, root: str = STATE_ROOT) -> str:
    """What is kept of an app that was removed: its history."""
    return os.path.join(root, "removed", f"{app}.jsonl")


def drained_file(app: str, root: str = STATE_ROOT) -> str:
    """Return the file whose existence keeps the host drained until it joins again."""
    return os.path.join(app_folder(app, root), "drained")


def gaps_file(app: str, root: str = STATE_ROOT) -> str:
    """Return the file with the last downtime of each singleton service."""
    return os.path.join(app_folder(app, root), "gaps.json")


def flags_folder(app: str, root: str = STATE_ROOT) -> str:
    """Return the folder that containers see at ``/run/sluice/flags``: switched-off flags, and the last known ones."""
    return os.path.join(app_folder(app, root), "flags")


def flags_history(app: str, root: str = STATE_ROOT) -> str:
    """Return the file that says who switched a flag off or on, in lines like the ledger's."""
    return os.path.join(app_folder(app, root), "flags.jsonl")


def ports_file(root: str = STATE_ROOT) -> str:
    """Return the file with the slot ports of all apps."""
    return os.path.join(root, "ports.json")
