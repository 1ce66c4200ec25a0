# SPDX-License-Identifier: Apache-2.0
"""The observation of a host, as plain data for the plan."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, retire
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.docker.health import probe
from ansible_collections.sluice.stack.plugins.module_utils.edge import passwords, records
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.flags import switches
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together
from ansible_collections.sluice.stack.plugins.module_utils.paths import (
    CERTIFICATES_PLACEHOLDER,
    CERTIFICATES_STATUS,
    EDGE_CONFIGS,
    app_folder,
    drained_file,
    gaps_file,
    ledger_file,
    ports_file,
)
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger, secret_store
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import host_now, read_lease


def every_host(app: str, ledger_lines: int = 60) -> dict[str, Any]:
    """Observe what edges and app hosts have in common. A plan needs the last lines of the ledger; 0 is all of it."""
    lease = read_lease(app)
    known = list(switches.latest([switches.read(app)]).values())
    return {
        "now": time.time(),
        # With its remaining seconds, which only this host's clock can tell.
        "lease": {**lease.to_dict(), "left": lease.left(host_now())},
        "highest": lease.highest,
        # As text: the plan verifies each line's checksum, and text passes through Ansible faster than nested data.
        "ledger": ledger.text(ledger_file(app), ledger_lines or None),
        # What a host that knows less has to know; the history has all of them.
        "switches": known if ledger_lines else switches.read(app),
        "ports": read_json(ports_file(), {}),
        "listening": docker_host.listening_ports(),
    }


def app_host(app: str, engine: Engine, action: str = "") -> dict[str, Any]:
    """Observe an app host's containers, images and disk space; for a host that joins also what starts there without Unleash."""
    root = engine.info()["DockerRootDir"]
    digests = {digest for image in engine.get("/images/json") for digest in image.get("RepoDigests") or []}
    folder = app_folder(app)
    known = ledger.merge_texts([ledger.text(ledger_file(app))]).manifests
    containers = docker_host.app_containers(engine, app)
    for item, healthy in zip(containers, together(lambda one: _healthy(one, known), containers), strict=True):
        item["healthy"] = healthy
    return {
        "containers": containers,
        "workers": docker_host.worker_containers(engine, app),
        "gaps": read_json(gaps_file(app), {}),
        "drained": os.path.exists(drained_file(app)),
        "retiring": retire.read_note(folder, time.time()),
        "images_present": sorted(digests),
        "docker_root": root,
        "disk_free": shutil.disk_usage(root).free,
        "flags": switches.known(app),
        "features": switches.features(app) if action == "join" else "",
        "secrets": secret_store.held(folder),
    }


def edge_host(app: str, now: float) -> dict[str, Any]:
    """Observe an edge's record of the app and its configuration; ``now`` is this edge's clock."""
    path = records.file(app)
    record = read_json(path)
    pending = bool(record and record.get("pending") and record.get("deadline") and now < record["deadline"])
    certificates = read_json(CERTIFICATES_STATUS)
    return {
        "record": record,
        "pending_alive": pending,
        # Seconds since the last change.
        **({"age": now - os.stat(path).st_mtime} if record else {}),
        "config": _configuration(app),
        "tls": os.path.exists(CERTIFICATES_PLACEHOLDER),
        "certificates": certificates and {**certificates, "age": now - certificates["time"]},
    }


def _configuration(app: str) -> str:
    """The app's configuration on this edge, marked when a file of passwords that it names is missing: then nobody gets in."""
    text = _text(os.path.join(EDGE_CONFIGS, f"{app}.conf"))
    return text if all(map(os.path.exists, passwords.paths(text))) else text + passwords.MISSING


def _healthy(item: Mapping[str, Any], manifests: Mapping[str, ledger.Manifest]) -> bool | None:
    """Whether a running container passes its release's health check; None when this host does not know the release."""
    manifest = manifests.get(item["release"])
    if item["state"] != "running" or not item["address"]:
        return False
    if not manifest or item["service"] not in manifest["services"]:
        return None
    address, port = item["address"]
    return probe(address, port, manifest["services"][item["service"]]["health"]) is None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""
