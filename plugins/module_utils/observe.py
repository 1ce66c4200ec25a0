# SPDX-License-Identifier: Apache-2.0
"""What a host has, as plain data for the plan."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import docker_host, ledger
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.guard import STATE_ROOT, app_folder, read_lease

EDGE_RECORDS = "/var/lib/sluice-edge"
EDGE_CONFIGS = "/etc/nginx/sluice"
# A plan needs the releases it may go back to and the last runs, not the whole past.
LEDGER_TAIL = 60


def ports_file(root: str = STATE_ROOT) -> str:
    """Where a host records the slot ports of all its apps."""
    return os.path.join(root, "ports.json")


def every_host(app: str) -> dict[str, Any]:
    """What edges and app hosts have in common."""
    lease = read_lease(app)
    return {
        "lease": lease.to_dict(),
        "highest": lease.highest,
        "ledger": ledger.read(os.path.join(app_folder(app), "ledger.jsonl"))[-LEDGER_TAIL:],
        "ports": read_json(ports_file(), {}),
        "listening": docker_host.listening_ports(),
    }


def app_host(app: str, client: Any) -> dict[str, Any]:
    """An app host's containers, images and room."""
    root = client.info()["DockerRootDir"]
    digests = {digest for image in client.api.images() for digest in image.get("RepoDigests") or []}
    return {
        "containers": docker_host.app_containers(client, app),
        "images_present": sorted(digests),
        "docker_root": root,
        "disk_free": shutil.disk_usage(root).free,
    }


def edge_host(app: str, now: float) -> dict[str, Any]:
    """An edge's record of the app and the fingerprint of its configuration; ``now`` is this edge's clock."""
    record = read_json(os.path.join(EDGE_RECORDS, f"{app}.json"))
    pending = bool(record and record.get("pending") and record.get("deadline") and now < record["deadline"])
    return {
        "record": record,
        "pending_alive": pending,
        "config_sha256": _sha256(os.path.join(EDGE_CONFIGS, f"{app}.conf")),
    }


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as handle:
            return hashlib.sha256(handle.read()).hexdigest()
    except FileNotFoundError:
        return ""
