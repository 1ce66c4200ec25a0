# SPDX-License-Identifier: Apache-2.0
"""A host's Docker engine: connecting to it, and turning its errors into lines a person can act on."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.containers import LABEL

try:
    import docker
    from docker.errors import APIError, DockerException, NotFound

    IMPORT_ERROR: str | None = None
except ImportError as error:  # a host that was not provisioned
    IMPORT_ERROR = str(error)
    APIError = DockerException = NotFound = type("DockerException", (Exception,), {})  # type: ignore[misc, assignment]

__all__ = ["APIError", "DockerException", "EngineError", "NotFound"]


class EngineError(Exception):
    """The Docker engine cannot do what is asked; the message says what and what to do."""


def connect(timeout: float = 60) -> Any:
    """A client of this host's engine; ``timeout`` bounds each call, in seconds. Raises EngineError."""
    if IMPORT_ERROR:
        raise EngineError(f"the Docker SDK for Python is missing ({IMPORT_ERROR}): run provision.yml on this host")
    try:
        client = docker.DockerClient(base_url="unix:///var/run/docker.sock", version="auto", timeout=int(timeout))
        client.ping()
    except (DockerException, OSError) as error:
        raise EngineError(
            f"the Docker engine does not answer ({error}): run provision.yml, or systemctl status docker"
        ) from error
    return client


def explain(error: Exception, registry: str = "") -> str:
    """One line for an engine's or registry's error."""
    text = one_line(error)
    where = f"registry {registry}" if registry else "the registry"
    lowered = text.lower()
    if "manifest unknown" in lowered or "not found" in lowered:
        return f"not in {where}: no such name, version or tag; push it, or check app_version"
    if any(word in lowered for word in ("unauthorized", "no basic auth", "authentication required", "denied")):
        return f"{where} refuses the credentials: check docker_host_registries and run provision.yml"
    if any(word in lowered for word in ("certificate", "x509")):
        return f"{where}'s certificate is not trusted: check docker_host_registries[].ca and run provision.yml ({text})"
    if any(word in lowered for word in ("timed out", "timeout", "deadline exceeded", "awaiting headers")):
        return f"{where} does not answer in time: is it up and reachable from this host? ({text})"
    if any(word in lowered for word in ("refused", "no route", "unreachable", "no such host", "dial tcp")):
        return f"{where} cannot be reached from this host ({text})"
    return text


def one_line(error: Exception) -> str:
    """The engine's own words for an error, without the HTTP around them."""
    return str(getattr(error, "explanation", None) or error).strip().replace("\n", " ")


def registry_of(reference: str) -> str:
    """The registry part of an image reference; empty for the default one."""
    head = reference.split("/", 1)[0]
    return head if "/" in reference and re.search(r"[.:]|^localhost$", head) else ""


def resolve_digest(reference: str, seconds: float) -> dict[str, str]:
    """``{"digest": "sha256:..."}`` of a reference as the registry knows it now, or ``{"error": line}``."""
    if "@" in reference:
        return {"digest": reference.split("@", 1)[1]}
    try:
        answer = connect(timeout=seconds).api.inspect_distribution(reference)
        return {"digest": answer["Descriptor"]["digest"]}
    except EngineError as error:
        return {"error": str(error)}
    except (DockerException, OSError) as error:
        # requests' time-outs are OSErrors; the engine's own come as API errors.
        return {"error": explain(error, registry_of(reference))}


def pull(client: Any, image: str, seconds: float) -> None:
    """Pull an image by digest; raises EngineError when it fails or is not done after ``seconds``."""
    deadline = time.monotonic() + seconds
    repository, _, digest = image.partition("@")
    try:
        for event in client.api.pull(repository, tag=digest, stream=True, decode=True):
            if event.get("error"):
                raise EngineError(f"image {image}: {explain(Exception(event['error']), registry_of(image))}")
            if time.monotonic() > deadline:
                raise EngineError(f"image {image}: not pulled within {seconds:g} s (app_pull_seconds)")
    except (APIError, DockerException, OSError) as error:
        raise EngineError(f"image {image}: {explain(error, registry_of(image))}") from error


def has_image(client: Any, image: str) -> bool:
    """Whether the engine holds the image already."""
    try:
        client.api.inspect_image(image)
    except NotFound:
        return False
    return True


def app_containers(client: Any, app: str) -> list[dict[str, Any]]:
    """The containers of an app, each as plain data; those of one-off commands and migrations have no slot and are left out."""
    found = []
    for item in client.api.containers(all=True, filters={"label": [f"{LABEL}app={app}", f"{LABEL}slot"]}):
        label: Mapping[str, str] = item["Labels"]
        found.append(
            {
                "id": item["Id"],
                "name": item["Names"][0].lstrip("/"),
                "service": label[LABEL + "service"],
                "slot": label[LABEL + "slot"],
                "release": label[LABEL + "release"],
                "replica": int(label[LABEL + "replica"]),
                "state": item["State"],
                "status": item["Status"],
                "image": item["Image"],
            }
        )
    return sorted(found, key=lambda one: str(one["name"]))


def ensure_network(client: Any, name: str, app: str) -> None:
    """Make the bridge network ``name`` when it is missing."""
    # The engine's name filter also matches parts of names.
    if not any(network.name == name for network in client.networks.list(names=[name])):
        client.networks.create(name, driver="bridge", labels={LABEL + "app": app})


def create(client: Any, wanted: Mapping[str, Any], restart: str = "no") -> str:
    """Create (not start) a container from its specification; returns its id.

    The low-level API, because a name inside the slot's network can only be given there. Environment values travel in
    the body of the request: they are in no process's arguments.
    """
    api = client.api
    publish = wanted.get("publish")
    container = api.create_container(
        image=wanted["image"],
        command=wanted["command"],
        name=wanted["name"],
        environment=dict(wanted["environment"]),
        labels=dict(wanted["labels"]),
        ports=[publish["port"]] if publish else None,
        host_config=api.create_host_config(
            port_bindings={publish["port"]: (publish["address"], publish["host_port"])} if publish else None,
            # A container that dies while it starts stays dead, with its exit code and log. Once it is healthy it gets
            # the policy that brings it back after a crash or a reboot.
            restart_policy={"Name": restart},
            network_mode=wanted["network"],
            **wanted["host"],
        ),
        networking_config=api.create_networking_config(
            {wanted["network"]: api.create_endpoint_config(aliases=[wanted["alias"]])}
        ),
    )
    return str(container["Id"])


def died(client: Any, container: str) -> str | None:
    """How a container ended, with its last log lines, or None while it runs."""
    state = client.api.inspect_container(container)["State"]
    if state["Running"] and not state.get("Restarting"):
        return None
    killed = " (out of memory)" if state.get("OOMKilled") else ""
    fault = f": {state['Error']}" if state.get("Error") else ""
    return f"exited with code {state['ExitCode']}{killed}{fault}; last log lines:\n{last_lines(client, container)}"


def last_lines(client: Any, container: str, count: int = 15) -> str:
    """The end of a container's log, indented."""
    log = client.api.logs(container, tail=count).decode(errors="replace").rstrip()
    return "\n".join(f"    {line}" for line in log.splitlines()) or "    (it logged nothing)"


def stop_and_remove(client: Any, container: str, grace: float) -> None:
    """SIGTERM, up to ``grace`` seconds, SIGKILL, remove; a container that is gone already is fine."""
    try:
        client.api.stop(container, timeout=int(grace))
        client.api.remove_container(container, v=True)
    except NotFound:
        pass
    except APIError as error:
        if "already in progress" not in str(error):
            raise


def open_connections(pid: int, port: int) -> int:
    """Established TCP connections to ``port`` inside the network namespace of process ``pid``.

    Read from /proc/<pid>/net/tcp (proc_pid_net(5)): local address and state are hexadecimal, 01 is ESTABLISHED.
    """
    count = 0
    for family in ("tcp", "tcp6"):
        try:
            with open(os.path.join("/proc", str(pid), "net", family), encoding="ascii") as handle:
                rows = [line.split() for line in handle.readlines()[1:]]
        except OSError:
            continue
        count += sum(1 for row in rows if row[3] == "01" and int(row[1].rsplit(":", 1)[1], 16) == port)
    return count


def listening_ports() -> list[int]:
    """TCP ports something on this host listens on (state 0A in /proc/net/tcp)."""
    ports = set()
    for family in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{family}", encoding="ascii") as handle:
                rows = [line.split() for line in handle.readlines()[1:]]
        except OSError:
            continue
        ports |= {int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == "0A"}
    return sorted(ports)
