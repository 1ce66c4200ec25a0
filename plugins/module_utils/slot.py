# SPDX-License-Identifier: Apache-2.0
"""One slot on one host: bring a release up in it, or empty it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.containers import network, slot_containers
from ansible_collections.sluice.stack.plugins.module_utils.guard import Guard
from ansible_collections.sluice.stack.plugins.module_utils.health import NotHealthy, probe, wait_healthy


class SlotError(Exception):
    """The slot could not be brought to the wanted state; the message names the container and what it said."""


def prepare(
    client: Any,
    guard: Guard,
    manifest: Mapping[str, Any],
    slot: str,
    address: str,
    secrets: Mapping[str, str],
    *,
    pull_seconds: float,
    drain_seconds: float,
    lease_seconds: float,
) -> dict[str, Any]:
    """Pull, clear what another release left in the slot, start what is missing, wait until all of it is healthy.

    Returns what was done and how long each part took, in seconds. Raises SlotError, EngineError or LeaseLost.
    """
    clock = _Clock()
    wanted = slot_containers(manifest, slot, address, secrets)
    images = sorted({item["image"] for item in wanted})
    missing = [image for image in images if not docker_host.has_image(client, image)]
    with guard.effect(extend=pull_seconds + lease_seconds):
        pass  # owning the app is enough to pull: an image on the disk changes nothing that is served
    with ThreadPoolExecutor(max_workers=4) as pool:
        for _ in pool.map(lambda image: docker_host.pull(client, image, pull_seconds), missing):
            pass
    clock.mark("pull")

    held = [item for item in docker_host.app_containers(client, manifest["app"]) if item["slot"] == slot]
    good = {item["name"] for item in held if item["release"] == manifest["id"] and item["state"] == "running"}
    stale = [item for item in held if item["name"] not in good]
    window = max(service["health"]["window"] for service in manifest["services"].values())
    if stale:
        empty(client, guard, manifest, stale, drain_seconds=drain_seconds, lease_seconds=lease_seconds)
        clock.mark("discard")
    fresh = [item for item in wanted if item["name"] not in good]
    with guard.effect(extend=window + lease_seconds):
        docker_host.ensure_network(client, network(manifest["app"], slot), manifest["app"])
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(lambda item: _start(client, item), fresh))
    clock.mark("start")
    _wait_all(client, manifest, wanted)
    clock.mark("healthy")
    for item in fresh:
        client.api.update_container(item["name"], restart_policy={"Name": "unless-stopped"})
    return {
        "pulled": missing,
        "discarded": [item["name"] for item in stale],
        "started": [item["name"] for item in fresh],
        "seconds": clock.parts,
    }


def empty(
    client: Any,
    guard: Guard,
    manifest: Mapping[str, Any],
    held: Iterable[Mapping[str, Any]],
    *,
    drain_seconds: float,
    lease_seconds: float,
) -> None:
    """Let containers finish what they are doing, then stop and remove them.

    A container counts as drained when nobody has had a connection to its port for two looks in a row. ``manifest`` tells the
    ports and the grace of services it knows; others get safe ones.
    """
    services = manifest["services"]
    grace = max([30.0, *(service["stop_grace"] for service in services.values())])
    held = list(held)
    with guard.effect(extend=drain_seconds + grace + lease_seconds):
        pass
    deadline = time.monotonic() + drain_seconds
    waiting = [item for item in held if item["state"] == "running"]
    quiet = 0
    while waiting and quiet < 2 and time.monotonic() < deadline:
        quiet = 0 if any(_busy(client, item) for item in waiting) else quiet + 1
        time.sleep(0.25)
    with guard.effect(extend=grace + lease_seconds), ThreadPoolExecutor(max_workers=8) as pool:
        list(
            pool.map(
                lambda item: docker_host.stop_and_remove(
                    client, item["id"], services.get(item["service"], {}).get("stop_grace", grace)
                ),
                held,
            )
        )


class _Clock:
    """Seconds of each part of the work."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.monotonic()

    def mark(self, part: str) -> None:
        now = time.monotonic()
        self.parts[part], self._last = round(now - self._last, 2), now


def _busy(client: Any, item: Mapping[str, Any]) -> bool:
    """Whether anybody is connected to a port the container's own process listens on."""
    details = client.api.inspect_container(item["id"])
    ports = [int(name.split("/")[0]) for name in details["NetworkSettings"]["Ports"] or {}]
    pid = details["State"]["Pid"]
    return bool(pid) and any(docker_host.open_connections(pid, port) for port in ports)


def _start(client: Any, item: Mapping[str, Any]) -> None:
    try:
        container = docker_host.create(client, item)
        client.api.start(container)
    except docker_host.DockerException as error:
        raise SlotError(f"container {item['name']} could not be started: {docker_host.one_line(error)}") from error


def _wait_all(client: Any, manifest: Mapping[str, Any], wanted: list[dict[str, Any]]) -> None:
    """Wait for every container at once; the first that dies or stays unhealthy ends the wait for all."""
    failed = threading.Event()

    def wait(item: Mapping[str, Any]) -> None:
        health = manifest["services"][item["alias"]]["health"]
        publish = item["publish"]

        def still_worth_it() -> None:
            end = docker_host.died(client, item["name"])
            if end:
                raise SlotError(f"container {item['name']} {end}")
            if failed.is_set():
                raise _Abandoned

        try:
            wait_healthy(lambda: probe(publish["address"], publish["host_port"], health), health, still_worth_it)
        except NotHealthy as error:
            failed.set()
            log = docker_host.last_lines(client, item["name"])
            raise SlotError(f"container {item['name']} is {error}; last log lines:\n{log}") from error
        except SlotError:
            failed.set()
            raise

    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        futures = [pool.submit(wait, item) for item in wanted]
        errors = [future.exception() for future in futures]
    real = [error for error in errors if error is not None and not isinstance(error, _Abandoned)]
    if real:
        raise real[0]


class _Abandoned(Exception):
    """Another container failed; waiting for this one has no point."""
