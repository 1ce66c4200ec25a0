# SPDX-License-Identifier: Apache-2.0
"""Wait until started containers are healthy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine
from ansible_collections.sluice.stack.plugins.module_utils.docker.health import NotHealthy, probe, wait_healthy
from ansible_collections.sluice.stack.plugins.module_utils.docker.sockets import tcp, why_unreachable
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together
from ansible_collections.sluice.stack.plugins.module_utils.release.lease import LeaseError


class SlotError(Exception):
    """The slot did not reach the desired state; the message names the container and its last output."""


def wait_all(
    engine: Engine,
    manifest: Mapping[str, Any],
    wanted: list[dict[str, Any]],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Wait for all containers in parallel; the first that dies or stays unhealthy ends the wait, as does an exception of ``check``."""
    failed = threading.Event()

    def wait(item: Mapping[str, Any]) -> None:
        health = manifest["services"][item["alias"]]["health"]
        publish = item["publish"]

        def still_worth_it() -> None:
            check()
            end = docker_host.died(engine, item["name"])
            if end:
                raise SlotError(f"container {item['name']} {end}")
            if failed.is_set():
                raise _Aborted

        try:
            wait_healthy(lambda: probe(publish["address"], publish["host_port"], health), health, still_worth_it)
        except NotHealthy as error:
            failed.set()
            fault = _why_unreachable(engine, item)
            log = docker_host.last_lines(engine, item["name"])
            raise SlotError(
                f"container {item['name']} is {error}{f'; {fault}' if fault else ''}; last log lines:\n{log}"
            ) from error
        except (SlotError, LeaseError):
            failed.set()
            raise

    def guarded(item: Mapping[str, Any]) -> Exception | None:
        try:
            wait(item)
        except (SlotError, LeaseError, docker_host.EngineError, _Aborted) as error:
            return error
        return None

    real = [error for error in together(guarded, wanted) if error and not isinstance(error, _Aborted)]
    if real:
        raise real[0]


def _why_unreachable(engine: Engine, item: Mapping[str, Any]) -> str | None:
    """Return why the container's port does not answer, from its sockets."""
    pid = docker_host.inspect(engine, item["name"])["State"]["Pid"]
    return why_unreachable(item["publish"]["port"], list(tcp(pid))) if pid else None


class _Aborted(Exception):
    """Another container failed, so stop waiting for this one."""
