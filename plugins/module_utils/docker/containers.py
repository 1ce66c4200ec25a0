# SPDX-License-Identifier: Apache-2.0
"""The containers of a slot: pure, from a manifest to the arguments of the Docker API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.paths import flags_folder
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import of_kind
from ansible_collections.sluice.stack.plugins.module_utils.release.ports import SLOTS, port_numbers

LABEL = "stack.sluice."
# Where the code of a service with flags finds the host's folder of them.
FLAGS = "/run/sluice/flags"


def labels(app: str, service: str, slot: str, release: str, replica: int) -> dict[str, str]:
    """Return the labels that identify a container; what a slot holds is read from Docker, not recorded."""
    values = {"app": app, "service": service, "slot": slot, "release": release, "replica": str(replica)}
    return {LABEL + key: value for key, value in values.items()}


def network(app: str, slot: str) -> str:
    """Return the network of a slot: services of one release reach each other by name, and never those of another release."""
    return f"sluice-{app}-{slot}"


def name(app: str, service: str, release: str, replica: int, slot: str = "") -> str:
    """Return a container's name, with its release and slot: a host may have one release in both slots."""
    return "-".join(part for part in (app, service, release, slot, str(replica)) if part)


def hardened(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a container's restrictions and resource limits: its HostConfig in the engine's API."""
    options: dict[str, Any] = {
        "Init": True,
        "ReadonlyRootfs": service["read_only"],
        "Tmpfs": dict.fromkeys(service["tmpfs"], "rw,noexec,nosuid,size=64m"),
        "CapDrop": ["ALL"],
        "CapAdd": list(service["capabilities"]),
        "SecurityOpt": ["no-new-privileges"],
        "Memory": service["memory"],
        "PidsLimit": service["pids"],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}},
    }
    if service["cpus"]:
        options["NanoCpus"] = int(service["cpus"] * 1e9)
    return options


def environment(service: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment, secrets included."""
    return {**service["env"], **{secret: secrets[secret] for secret in service["secrets"]}}


def specification(manifest: Mapping[str, Any], service_name: str, secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return the part common to all containers of a service, in a slot or for a one-off command."""
    service = manifest["services"][service_name]
    # The folder and not its files: these are replaced whole. The engine makes it where it is missing.
    binds = [f"{flags_folder(manifest['app'])}:{FLAGS}:ro"] if service.get("flags") else []
    return {
        "image": service["image"],
        "command": service["command"],
        "environment": environment(service, secrets),
        "host": {**hardened(service), **({"Binds": binds} if binds else {})},
    }


def slot_containers(
    manifest: Mapping[str, Any], slot: str, address: str, secrets: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return every container of a release in a slot, as input of ``docker_host.create``.

    ``address`` is the host's private address; no port is published on another. ``secrets`` maps name to value.
    """
    app, release = manifest["app"], manifest["id"]
    result = []
    for service_name, service in of_kind(manifest, "web").items():
        for replica, port in enumerate(manifest["ports"][service_name][slot][: service["replicas"]]):
            result.append(
                {
                    **specification(manifest, service_name, secrets),
                    "name": name(app, service_name, release, replica, slot),
                    "labels": labels(app, service_name, slot, release, replica),
                    "network": network(app, slot),
                    "alias": service_name,
                    "publish": {"port": service["port"], "address": address, "host_port": port},
                }
            )
    return result


def worker_containers(
    manifest: Mapping[str, Any], service_name: str, slot: str, secrets: Mapping[str, str], address: str = ""
) -> list[dict[str, Any]]:
    """Return the containers of a service alongside the slots of a host: a worker or job joins the network of its release's slot, without a port.

    A singleton service joins both networks, since the services of both slots use its one instance, and has one port for both.
    """
    app, release = manifest["app"], manifest["id"]
    service = manifest["services"][service_name]
    more: dict[str, Any] = {}
    if service["port"]:
        port = port_numbers(manifest["ports"], service_name, slot)[0]
        more = {
            "publish": {"port": service["port"], "address": address, "host_port": port},
            "also_in": [network(app, other) for other in SLOTS if other != slot],
        }
    return [
        {
            **specification(manifest, service_name, secrets),
            "name": name(app, service_name, release, replica),
            "labels": {
                LABEL + "app": app,
                LABEL + "workers": service_name,
                LABEL + "release": release,
                LABEL + "replica": str(replica),
            },
            "network": network(app, slot),
            "alias": service_name,
            **more,
        }
        for replica in range(service["replicas"])
    ]
