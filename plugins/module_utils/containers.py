# SPDX-License-Identifier: Apache-2.0
"""What the containers of a slot look like: pure, from a manifest to the arguments of the Docker API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABEL = "stack.sluice."


def labels(app: str, service: str, slot: str, release: str, replica: int) -> dict[str, str]:
    """The labels by which a container is found again; Docker's own state is the truth about what a slot holds."""
    values = {"app": app, "service": service, "slot": slot, "release": release, "replica": str(replica)}
    return {LABEL + key: value for key, value in values.items()}


def network(app: str, slot: str) -> str:
    """The network of a slot: services of one release reach each other by name, and never another release's."""
    return f"sluice-{app}-{slot}"


def name(app: str, service: str, release: str, replica: int) -> str:
    """The name of a container says which release it is of."""
    return f"{app}-{service}-{release}-{replica}"


def hardened(service: Mapping[str, Any]) -> dict[str, Any]:
    """Everything a container must not be able to do, and the bounds it lives within."""
    options: dict[str, Any] = {
        "init": True,
        "read_only": service["read_only"],
        "tmpfs": dict.fromkeys(service["tmpfs"], "rw,noexec,nosuid,size=64m"),
        "cap_drop": ["ALL"],
        "cap_add": list(service["capabilities"]),
        "security_opt": ["no-new-privileges"],
        "mem_limit": service["memory"],
        "pids_limit": service["pids"],
        "log_config": {"type": "json-file", "config": {"max-size": "10m", "max-file": "5"}},
    }
    if service["cpus"]:
        options["nano_cpus"] = int(service["cpus"] * 1e9)
    return options


def environment(service: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """A service's environment with its secrets' values in it."""
    return {**service["env"], **{secret: secrets[secret] for secret in service["secrets"]}}


def specification(manifest: Mapping[str, Any], service_name: str, secrets: Mapping[str, str]) -> dict[str, Any]:
    """What every container of a service has, in a slot or for a one-off command."""
    service = manifest["services"][service_name]
    return {
        "image": service["image"],
        "command": service["command"],
        "environment": environment(service, secrets),
        "host": hardened(service),
    }


def slot_containers(
    manifest: Mapping[str, Any], slot: str, address: str, secrets: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Every container of a release in a slot, as ``docker_host.create`` takes it.

    ``address`` is the host's private address: nothing is published wider. ``secrets`` maps name to value.
    """
    app, release = manifest["app"], manifest["id"]
    result = []
    for service_name, service in sorted(manifest["services"].items()):
        for replica, port in enumerate(manifest["ports"][service_name][slot][: service["replicas"]]):
            result.append(
                {
                    **specification(manifest, service_name, secrets),
                    "name": name(app, service_name, release, replica),
                    "labels": labels(app, service_name, slot, release, replica),
                    "network": network(app, slot),
                    "alias": service_name,
                    "publish": {"port": service["port"], "address": address, "host_port": port},
                }
            )
    return result
