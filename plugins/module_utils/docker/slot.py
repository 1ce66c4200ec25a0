# SPDX-License-Identifier: Apache-2.0
"""One slot on one host: start a release in it, or empty it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host, workers
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import LABEL, network, slot_containers
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.docker.readiness import SlotError, wait_all
from ansible_collections.sluice.stack.plugins.module_utils.docker.retire import wait_idle
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import kind

__all__ = ["Part", "SlotError", "any_busy", "empty", "grace_of", "prepare", "stop"]


class Part(NamedTuple):
    """This host's part of a release: its services, in a slot, at the address the edge uses."""

    manifest: Mapping[str, Any]
    slot: str
    services: Sequence[str]
    address: str


def prepare(
    engine: Engine,
    guard: Guard,
    part: Part,
    secrets: Mapping[str, str],
    *,
    pull_seconds: float,
    drain_seconds: float,
) -> dict[str, Any]:
    """Pull, remove other releases from the slot, start what is missing, wait until all of it is healthy.

    Returns what was done and the seconds of each part. Raises SlotError, EngineError or LeaseLost.
    """
    clock = _Clock()
    manifest, slot, services = part.manifest, part.slot, part.services
    wanted = [item for item in slot_containers(manifest, slot, part.address, secrets) if item["alias"] in services]
    # Include images of workers and jobs: a missing image must fail before the release is live.
    images = sorted({manifest["services"][name]["image"] for name in services})
    missing = [image for image in images if not docker_host.has_image(engine, image)]
    # A pull needs the lease but no lock: an image on disk changes nothing that is live.
    guard.check()
    together(lambda image: docker_host.pull(engine, image, pull_seconds), missing)
    clock.mark("pull")

    held = [item for item in docker_host.app_containers(engine, manifest["app"]) if item["slot"] == slot]
    right = {_place(item["labels"]) for item in wanted}
    good = [
        item
        for item in held
        if item["release"] == manifest["id"] and item["state"] == "running" and _here(item) in right
    ]
    stale = [item for item in held if item not in good]
    if stale:
        empty(engine, guard, manifest, stale, drain_seconds=drain_seconds)
        clock.mark("discard")
    _bring_back(engine, guard, part, secrets)
    there = {_here(item) for item in good}
    fresh = [item for item in wanted if _place(item["labels"]) not in there]
    with guard.effect():
        docker_host.ensure_network(engine, network(manifest["app"], slot), manifest["app"])
        together(lambda item: _start(engine, item), fresh)
    clock.mark("start")
    wait_all(engine, manifest, wanted)
    clock.mark("healthy")
    with guard.effect():
        for item in fresh:
            docker_host.set_restart(engine, item["name"], "unless-stopped")
    return {
        "pulled": missing,
        "discarded": [item["name"] for item in stale],
        "started": [item["name"] for item in fresh],
        "seconds": clock.parts,
    }


def _bring_back(engine: Engine, guard: Guard, part: Part, secrets: Mapping[str, str]) -> None:
    """Start singleton services that are not running: other services may need them, and there is no old instance to stop first."""
    services = part.manifest["services"]
    singletons = [name for name in part.services if kind(services[name]) == "singleton"]
    if not singletons:
        return
    with guard.turn("workers"):
        held = docker_host.worker_containers(engine, part.manifest["app"])
        for name in singletons:
            mine = [item for item in held if item["service"] == name]
            if not any(item["state"] == "running" for item in mine):
                workers.switch(engine, guard, part.manifest, name, part.slot, secrets, mine, part.address)


def _place(labels: Mapping[str, str]) -> tuple[str, int]:
    """Return a container's place in a slot: its service and replica."""
    return labels[LABEL + "service"], int(labels[LABEL + "replica"])


def _here(item: Mapping[str, Any]) -> tuple[str, int]:
    return item["service"], item["replica"]


def empty(
    engine: Engine,
    guard: Guard,
    manifest: Mapping[str, Any],
    held: Iterable[Mapping[str, Any]],
    *,
    drain_seconds: float,
) -> None:
    """Drain containers, then stop and remove them.

    A container is drained when two checks in a row find no connection to its port. ``manifest`` has the ports and grace periods of its
    services; others get safe defaults.
    """
    held = list(held)
    guard.check()
    wait_idle(lambda: any_busy(engine, held), drain_seconds)
    with guard.effect():
        condemn(engine, held)
    stop(engine, manifest, held)


def condemn(engine: Engine, held: Iterable[Mapping[str, Any]]) -> None:
    """Remove the restart policy of containers about to be stopped: from now on they do not count as running.

    A container is stopped without the host's lock, since its grace period may be long. Another run may fence meanwhile and must not rely on it.
    """
    alive = [item["id"] for item in held if item["state"] in workers.ALIVE]
    together(lambda container: docker_host.unmark(engine, container), alive)


def stop(engine: Engine, manifest: Mapping[str, Any], held: Iterable[Mapping[str, Any]]) -> None:
    """Stop and remove condemned containers, each with its service's grace period."""
    together(lambda item: docker_host.stop_and_remove(engine, item["id"], grace_of(manifest, item["service"])), held)


def grace_of(manifest: Mapping[str, Any], service: str) -> float:
    """Return a service's grace period in seconds; a safe default for one the manifest does not know."""
    return float(manifest["services"].get(service, {}).get("stop_grace", 30))


class _Clock:
    """Measures the seconds of each part of the work."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.monotonic()

    def mark(self, part: str) -> None:
        now = time.monotonic()
        self.parts[part], self._last = round(now - self._last, 2), now


def any_busy(engine: Engine, held: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a port that one of the containers listens on has a connection."""
    return any(_busy(engine, item) for item in held if item["state"] in ("running", "starting"))


def _busy(engine: Engine, item: Mapping[str, Any]) -> bool:
    try:
        details = docker_host.inspect(engine, item["id"])
    except docker_host.NotFound:
        return False
    ports = [int(name.split("/")[0]) for name in details["NetworkSettings"]["Ports"] or {}]
    pid = details["State"]["Pid"]
    return bool(pid) and any(docker_host.open_connections(pid, port) for port in ports)


def _start(engine: Engine, item: Mapping[str, Any]) -> None:
    try:
        docker_host.start(engine, docker_host.create(engine, item))
    except docker_host.EngineError as error:
        raise SlotError(f"container {item['name']} did not start: {error}") from error
