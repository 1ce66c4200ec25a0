# SPDX-License-Identifier: Apache-2.0
"""A command in its own container, with a release's image and environment: for migrations and manual commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import LABEL, network, specification
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine


class OneOffError(Exception):
    """The command did not start, failed or timed out; the message has its last lines."""


def wanted(
    manifest: Mapping[str, Any], service: str, name: str, command: list[str], slot: str, secrets: Mapping[str, str]
) -> dict[str, Any]:
    """Return the container's specification; its labels distinguish it from the release's containers."""
    return {
        **specification(manifest, service, secrets),
        "name": name,
        "command": command,
        "labels": {LABEL + "app": manifest["app"], LABEL + "release": manifest["id"], LABEL + "one_off": service},
        "network": network(manifest["app"], slot),
        "alias": name,
    }


def find(engine: Engine, name: str) -> dict[str, Any] | None:
    """Find a container by its exact name: its id, state and release."""
    try:
        details = docker_host.inspect(engine, name)
    except docker_host.NotFound:
        return None
    return {
        "id": details["Id"],
        "running": details["State"]["Running"],
        "exit_code": details["State"]["ExitCode"],
        "started": not details["State"]["StartedAt"].startswith("0001-"),
        "release": details["Config"]["Labels"].get(LABEL + "release"),
        "command": details["Config"]["Cmd"],
    }


def start(engine: Engine, item: Mapping[str, Any], app: str) -> None:
    """Create and start the container."""
    docker_host.ensure_network(engine, item["network"], app)
    try:
        docker_host.start(engine, docker_host.create(engine, item))
    except docker_host.EngineError as error:
        raise OneOffError(f"container {item['name']} did not start: {error}") from error


def wait(engine: Engine, name: str, seconds: float, beat: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Wait for the container to end; returns its exit code and whole output. ``beat`` is called about every two seconds.

    Raises OneOffError when it still runs after ``seconds``; it is left running, since stopping it might do harm.
    """
    deadline = time.monotonic() + seconds
    next_beat = 0.0
    while True:
        found = find(engine, name)
        if found is None:
            raise OneOffError(f"container {name} was removed while waiting for it")
        if not found["running"]:
            return found["exit_code"], engine.logs(name)
        if time.monotonic() > deadline:
            raise OneOffError(
                f"container {name} still runs after {seconds:g} s; it was left running, see docker logs {name}"
            )
        if time.monotonic() >= next_beat:
            beat()
            next_beat = time.monotonic() + 2
        time.sleep(0.1)
