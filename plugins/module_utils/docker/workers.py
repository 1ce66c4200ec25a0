# SPDX-License-Identifier: Apache-2.0
"""Switch what runs alongside the slots of one host from the previous release to the live one, or back:

workers, scheduled jobs and singleton services.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import network, worker_containers
from ansible_collections.sluice.stack.plugins.module_utils.docker.docker_host import Engine, EngineError
from ansible_collections.sluice.stack.plugins.module_utils.docker.readiness import SlotError, wait_all
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import Guard, LeaseError
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import kind

UNITS = "/etc/systemd/system"
STAMPS = "/var/lib/systemd/timers"  # when each persistent timer ran last
ALIVE = ("running", "starting", "restarting", "paused")
REMOVAL_GRACE = 30.0  # seconds for a service that the release no longer has
Held = Sequence[Mapping[str, Any]]


class WorkersError(Exception):
    """A worker or job did not switch to the release; the previous one runs again."""


def switch(
    engine: Engine,
    guard: Guard,
    manifest: Mapping[str, Any],
    service: str,
    slot: str,
    secrets: Mapping[str, str],
    held: Held,
    address: str = "",
) -> float:
    """Switch a worker or singleton service to the release; returns the seconds in which none of it ran.

    ``held`` are its containers, of any release; ``address`` is the host's private one. Another run may take the app while a container
    stops or starts; the previous release then runs again. The caller holds ``guard.turn``. Raises WorkersError, LeaseError.
    """
    settings = manifest["services"][service]
    old = [item for item in held if item["release"] != manifest["id"]]
    alive = [item for item in old if item["state"] in ALIVE]
    running = [item for item in alive if item["state"] == "running"]
    good = {item["name"] for item in held if item not in old and item["state"] == "running"}
    wanted = worker_containers(manifest, service, slot, secrets, address)
    fresh = [item for item in wanted if item["name"] not in good]
    with guard.effect():
        for item in held:
            if item not in old and item["name"] not in good:
                docker_host.remove(engine, item["id"], force=True)
        for name in (network(manifest["app"], slot), *(name for item in fresh for name in item.get("also_in", []))):
            docker_host.ensure_network(engine, name, manifest["app"])
    begin = time.monotonic()
    if settings["update_order"] == "stop_first":
        _stop(engine, alive, settings["stop_grace"])
    try:
        with guard.effect():
            for item in fresh:
                docker_host.start(engine, docker_host.create(engine, item))
        if settings["port"]:
            wait_all(engine, manifest, fresh, guard.check)
        else:
            _stable(engine, [item["name"] for item in fresh], settings["health"]["min_ready"], guard)
        with guard.effect():
            for item in fresh:
                docker_host.set_restart(engine, item["name"], "unless-stopped")
    except (EngineError, SlotError, LeaseError) as error:
        for item in fresh:
            docker_host.remove(engine, item["name"], force=True)
        again = "the previous release keeps running" if running else "nothing ran before"
        for item in _to_restore(old, running, settings["update_order"]):
            docker_host.start(engine, item["id"])
            again = "the previous release runs again"
        raise WorkersError(f"{kind(settings).replace('singleton', 'service')} {service}: {again}; {error}") from error
    gap = time.monotonic() - begin if running and settings["update_order"] == "stop_first" else 0.0
    if settings["update_order"] == "start_first":
        _stop(engine, alive, settings["stop_grace"])
    with guard.effect():
        for item in old:
            docker_host.remove(engine, item["id"], force=True)
    return gap


def _to_restore(old: Held, running: Held, switch: str) -> Held:
    """Return the containers to start again when the new release fails."""
    if running:
        return running if switch == "stop_first" else []
    # A run killed in between had already stopped them.
    ended = [item for item in old if item["state"] == "exited"]
    newest = max((item["release"] for item in ended), default="")
    return [item for item in ended if item["release"] == newest]


def _stop(engine: Engine, alive: Held, grace: float) -> None:
    for item in alive:
        engine.post(f"/containers/{item['id']}/stop", timeout=grace + 60, t=int(grace))


def _remove(engine: Engine, guard: Guard, item: Mapping[str, Any], *, job: bool = False) -> None:
    """Stop and remove a container, a ``job`` with its units. Raises LeaseError: a worker then runs again, a job has its timer."""
    guard.check()
    if item["state"] in ALIVE:
        _stop(engine, [item], REMOVAL_GRACE)
    try:
        with guard.effect():
            if job:
                unschedule(guard.app, item["service"])
            docker_host.remove(engine, item["id"], force=True)
    except LeaseError:
        if item["state"] in ALIVE and not job:
            docker_host.start(engine, item["id"])
        raise


def _stable(engine: Engine, names: Sequence[str], seconds: float, guard: Guard) -> None:
    """Wait until the containers have run for ``seconds``. Raises EngineError as soon as one ends, LeaseError."""
    deadline = time.monotonic() + seconds
    while True:
        guard.check()
        for name in names:
            end = docker_host.died(engine, name)
            if end:
                raise EngineError(f"container {name} {end}")
        if time.monotonic() >= deadline:
            return
        time.sleep(0.2)


def unit(app: str, service: str) -> str:
    """Return the name of a job's systemd units."""
    return f"sluice-{app}-{service}"


def unit_files(app: str, service: str, schedule: str, container: str) -> dict[str, str]:
    """Return a job's units. They start a container created beforehand with its secrets, so none are in arguments."""
    head = f"# managed by sluice.stack\n[Unit]\nDescription=Job {service} of {app}\n"
    return {
        f"{unit(app, service)}.service": f"{head}After=docker.service\nRequires=docker.service\n\n"
        f"[Service]\nType=oneshot\nExecStart=/usr/bin/docker start --attach {container}\n",
        f"{unit(app, service)}.timer": f"{head}\n[Timer]\nOnCalendar={schedule}\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n",
    }


def schedule(
    engine: Engine,
    guard: Guard,
    manifest: Mapping[str, Any],
    service: str,
    slot: str,
    secrets: Mapping[str, str],
    held: Held,
) -> None:
    """Schedule a job with the release from its next run on; a current run is not interrupted. Raises WorkersError, LeaseError."""
    wanted = worker_containers(manifest, service, slot, secrets)[0]
    was_job = _is_job(manifest["app"], service)
    others = [item for item in held if item["name"] != wanted["name"]]
    with guard.effect():
        if len(others) == len(held):
            docker_host.ensure_network(engine, wanted["network"], manifest["app"])
            docker_host.create(engine, wanted)
        files = unit_files(manifest["app"], service, manifest["services"][service]["schedule"], wanted["name"])
        for name, text in files.items():
            write_atomic(os.path.join(UNITS, name), text, mode=0o644)
        timer = f"{unit(manifest['app'], service)}.timer"
        _systemctl(["daemon-reload"])
        _systemctl(["enable", "--now", timer])
        _systemctl(["restart", timer])
        for item in others:
            if was_job and item["state"] != "running":
                docker_host.remove(engine, item["id"])
    for item in others if not was_job else []:  # a worker of this name, which would keep running alongside the job
        _remove(engine, guard, item)


def _is_job(app: str, service: str) -> bool:
    return os.path.exists(os.path.join(UNITS, f"{unit(app, service)}.timer"))


def unschedule(app: str, service: str) -> None:
    """Remove a job's units, if any."""
    paths = [os.path.join(UNITS, f"{unit(app, service)}.{suffix}") for suffix in ("timer", "service")]
    if any(os.path.exists(path) for path in paths):
        _systemctl(["disable", "--now", f"{unit(app, service)}.timer"])
        # A job that comes back later must not make up for the runs that it had elsewhere.
        for path in (*paths, os.path.join(STAMPS, f"stamp-{unit(app, service)}.timer")):
            if os.path.exists(path):
                os.unlink(path)
        _systemctl(["daemon-reload"])


def _systemctl(arguments: list[str]) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise WorkersError(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")


def apply(
    engine: Engine,
    guard: Guard,
    manifest: Mapping[str, Any],
    services: Sequence[str],
    slot: str,
    secrets: Mapping[str, str],
    address: str,
) -> dict[str, float]:
    """Run exactly these services of the release alongside this host's slots. The caller holds ``guard.turn``.

    Returns the changed services, each with the seconds in which none of it ran. Raises WorkersError, LeaseError.
    """
    held = docker_host.worker_containers(engine, manifest["app"])
    changed: dict[str, float] = {}
    for service in services:
        mine = [item for item in held if item["service"] == service]
        settings = manifest["services"][service]
        now = sum(1 for item in mine if item["release"] == manifest["id"] and item["state"] == "running")
        if kind(settings) == "job":
            schedule(engine, guard, manifest, service, slot, secrets, mine)
            continue
        with guard.effect():
            unschedule(manifest["app"], service)  # it may have been a job before
        if now != settings["replicas"] or len(mine) != now:
            changed[service] = switch(engine, guard, manifest, service, slot, secrets, mine, address)
    for item in held:
        if item["service"] not in services:
            _remove(engine, guard, item, job=_is_job(manifest["app"], item["service"]))
            changed[item["service"]] = 0.0
    return changed
