# SPDX-License-Identifier: Apache-2.0
"""What an app has on an app host besides its records, and taking all of it away. Other apps on the host keep theirs."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import LABEL
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError, NotFound
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together

GRACE_SECONDS = 30.0


class Holdings(NamedTuple):
    """What is there: containers by id, the others by name; ``images`` are those that only this app uses."""

    containers: Mapping[str, str]  # id → name
    jobs: Sequence[str]
    networks: Sequence[str]
    images: Sequence[str]


def find(engine: Engine, app: str, ledgers: Mapping[str, Sequence[Mapping[str, Any]]], units: str) -> Holdings:
    """What the host has of the app; ``ledgers`` are those of all apps here, ``units`` is the folder of systemd units."""
    mine = json.dumps({"label": [f"{LABEL}app={app}"]})
    containers = {
        item["Id"]: item["Names"][0].lstrip("/") for item in engine.get("/containers/json", all="true", filters=mine)
    }
    present: dict[str, str] = {}
    for image in engine.get("/images/json"):
        present |= dict.fromkeys(image.get("RepoDigests") or [], image["Id"])
    used = {item["ImageID"] for item in engine.get("/containers/json", all="true") if item["Id"] not in containers}
    in_use = {digest for digest, identity in present.items() if identity in used}
    return Holdings(
        containers,
        jobs_of(app, units),
        sorted(item["Name"] for item in engine.get("/networks", filters=mine)),
        sorted(own_images(ledgers, app) & set(present) - in_use),
    )


def own_images(ledgers: Mapping[str, Sequence[Mapping[str, Any]]], app: str) -> set[str]:
    """The images in the app's ledger that are in no other app's."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for owner, entries in ledgers.items():
        for item in entries:
            services = (item.get("manifest") or {"services": {}})["services"]
            found[owner == app] |= {service["image"] for service in services.values()}
    return found[True] - found[False]


def jobs_of(app: str, units: str) -> list[str]:
    """The jobs that have units here. A unit says whose it is: the names of apps ``shop`` and ``shop-two`` begin alike."""
    found = []
    for path in glob.glob(os.path.join(units, f"{workers.unit(app, '*')}.timer")):
        with open(path, encoding="utf-8") as handle:
            match = re.search(r"^Description=Job (\S+) of (\S+)$", handle.read(), re.MULTILINE)
        if match and match[2] == app:
            found.append(match[1])
    return sorted(found)


def condemn(engine: Engine, app: str, held: Holdings) -> None:
    """End the schedule of jobs, and keep containers from coming back; they still run."""
    for job in held.jobs:
        workers.unschedule(app, job)
    for container in held.containers:
        docker_host.unmark(engine, container)


def stop(engine: Engine, held: Holdings) -> None:
    """Stop and remove the containers, all at once."""
    together(lambda container: docker_host.stop_and_remove(engine, container, GRACE_SECONDS), list(held.containers))


def clear(engine: Engine, held: Holdings) -> list[str]:
    """Remove networks and images that nothing uses any more; the images that are still in use, and stay."""
    for name in held.networks:
        try:
            engine.delete(f"/networks/{name}")
        except NotFound:
            continue
    left = []
    for image in held.images:
        try:
            engine.delete(f"/images/{image}")
        except NotFound:
            continue
        except EngineError:
            left.append(image)
    return left
