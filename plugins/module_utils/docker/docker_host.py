# SPDX-License-Identifier: Apache-2.0
"""What a release needs of a host's Docker engine, with the engine's errors as actionable lines."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import LABEL
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import (
    Engine,
    EngineError,
    NotFound,
    registry_of,
)
from ansible_collections.sluice.stack.plugins.module_utils.docker.sockets import ESTABLISHED, LISTEN, tcp
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together

__all__ = ["Engine", "EngineError", "NotFound"]


def explain(error: Exception, registry: str = "") -> str:
    """Return one line for an engine's or registry's error."""
    text = str(error)
    where = f"registry {registry}" if registry else "the registry"
    lowered = text.lower()
    if "no space left" in lowered:
        return f"no disk space left where the Docker engine stores images: free some (docker system df, docker image prune) ({text})"
    if any(word in lowered for word in ("proxyconnect", "proxy authentication", "tunnel connection")):
        return f"{where} cannot be reached through the engine's proxy: check the proxy of the Docker engine on this host ({text})"
    if "manifest unknown" in lowered or "not found" in lowered:
        return f"not found in {where}: push it, or check app_version"
    if any(word in lowered for word in ("unauthorized", "no basic auth", "authentication required", "denied")):
        return f"{where} rejected the credentials: check docker_host_registries and run provision.yml"
    if any(word in lowered for word in ("certificate", "x509")):
        return f"{where}'s certificate is not trusted: check docker_host_registries[].ca and run provision.yml ({text})"
    if any(word in lowered for word in ("timed out", "timeout", "deadline exceeded", "awaiting headers")):
        return f"{where} timed out: check that it is up and reachable from this host ({text})"
    if any(word in lowered for word in ("refused", "no route", "unreachable", "no such host", "dial tcp")):
        return f"{where} cannot be reached from this host ({text})"
    return text


def resolve_digest(engine: Engine, reference: str, seconds: float) -> dict[str, str]:
    """Resolve a reference at its registry: ``{"digest": "sha256:..."}``, or ``{"error": line}``."""
    if "@" in reference:
        return {"digest": reference.split("@", 1)[1]}
    try:
        return {"digest": engine.digest(reference, seconds)}
    except EngineError as error:
        return {"error": explain(error, registry_of(reference))}


def pull(engine: Engine, image: str, seconds: float) -> None:
    """Pull an image by digest; raises EngineError when it fails or takes more than ``seconds``."""
    try:
        for event in engine.pull(image, seconds):
            if event.get("error"):
                raise EngineError(event["error"])
    except EngineError as error:
        raise EngineError(f"image {image}: {explain(error, registry_of(image))}") from error


def has_image(engine: Engine, image: str) -> bool:
    """Whether the engine has the image."""
    try:
        engine.get(f"/images/{image}/json")
    except NotFound:
        return False
    return True


# What an image's labels say is text that others wrote: https://github.com/opencontainers/image-spec/blob/main/annotations.md
_REVISION = re.compile(r"[0-9A-Za-z][\w.+/-]{0,63}", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")


def revision(labels: Mapping[str, str] | None) -> str:
    """Return the commit an image was built from, as its labels have it; empty when they do not."""
    found = str((labels or {}).get("org.opencontainers.image.revision", ""))
    return found if _REVISION.fullmatch(found) else ""


def origin(engine: Engine, image: str) -> dict[str, str]:
    """Return an image's ``revision``, and when it was ``created``, in ISO 8601: its label, else what the builder recorded. Unknown is empty."""
    try:
        details = engine.get(f"/images/{image}/json")
    except EngineError:
        return {"revision": "", "created": ""}
    labels = (details.get("Config") or {}).get("Labels") or {}
    moments = map(_moment, (labels.get("org.opencontainers.image.created"), details.get("Created")))
    return {"revision": revision(labels), "created": next(filter(None, moments), "")}


def _moment(text: object) -> str:
    """Return a time in ISO 8601 without fractions of a second; empty when it is none."""
    found = _MOMENT.fullmatch(str(text or ""))
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat("".join(found.groups())).isoformat() if found else ""
    return ""


def app_containers(engine: Engine, app: str) -> list[dict[str, Any]]:
    """Return the containers of an app as plain data, without those of one-off commands and migrations, which have no slot.

    A running container that has never been healthy (its step failed) or is about to be stopped has the state ``starting``: it does
    not count.
    """
    labels = json.dumps({"label": [f"{LABEL}app={app}", f"{LABEL}slot"]})
    listed = engine.get("/containers/json", all="true", filters=labels)
    return sorted(together(lambda item: _container(engine, item), listed), key=lambda one: str(one["name"]))


def _container(engine: Engine, item: Mapping[str, Any]) -> dict[str, Any]:
    label: Mapping[str, str] = item["Labels"]
    starting = item["State"] == "running" and not _was_healthy(engine, item["Id"])
    return {
        "id": item["Id"],
        "name": item["Names"][0].lstrip("/"),
        "service": label[LABEL + "service"],
        "slot": label[LABEL + "slot"],
        "release": label[LABEL + "release"],
        "replica": int(label[LABEL + "replica"]),
        "state": "starting" if starting else item["State"],
        "status": item["Status"],
        "image": item["Image"],
        # Docker gives a container its image's labels.
        "revision": revision(label),
        # Its published address, when it runs.
        "address": next(([port["IP"], port["PublicPort"]] for port in item["Ports"] if "PublicPort" in port), None),
    }


def worker_containers(engine: Engine, app: str) -> list[dict[str, Any]]:
    """Return the containers of an app's services alongside its slots as plain data.

    A service with a port has the state ``starting`` until it has been healthy, as in a slot.
    """
    labels = json.dumps({"label": [f"{LABEL}app={app}", f"{LABEL}workers"]})
    listed = engine.get("/containers/json", all="true", filters=labels)
    return sorted(
        (
            {
                "id": item["Id"],
                "name": item["Names"][0].lstrip("/"),
                "service": item["Labels"][LABEL + "workers"],
                "release": item["Labels"][LABEL + "release"],
                "state": "starting" if _is_starting(engine, item) else item["State"],
                "status": item["Status"],
            }
            for item in listed
        ),
        key=lambda one: str(one["name"]),
    )


def _is_starting(engine: Engine, item: Mapping[str, Any]) -> bool:
    published = any("PublicPort" in port for port in item.get("Ports") or [])
    return published and item["State"] == "running" and not _was_healthy(engine, item["Id"])


def _was_healthy(engine: Engine, container: str) -> bool:
    """Whether a container has the restart policy that it gets once healthy; False when it is gone."""
    try:
        return str(inspect(engine, container)["HostConfig"]["RestartPolicy"]["Name"]) != "no"
    except NotFound:
        return False


def ensure_network(engine: Engine, name: str, app: str) -> None:
    """Create the bridge network ``name`` if it is missing."""
    # The engine's name filter also matches parts of names.
    known = engine.get("/networks", filters=json.dumps({"name": [name]}))
    if not any(network["Name"] == name for network in known):
        engine.post("/networks/create", {"Name": name, "Driver": "bridge", "Labels": {LABEL + "app": app}})


def create(engine: Engine, wanted: Mapping[str, Any], restart: str = "no") -> str:
    """Create (not start) a container from its specification; returns its id.

    Environment values are in the request's body, never in a process's arguments.
    """
    publish = wanted.get("publish")
    port = f"{publish['port']}/tcp" if publish else ""
    body = {
        "Image": wanted["image"],
        "Cmd": wanted["command"],
        "Env": [f"{key}={value}" for key, value in wanted["environment"].items()],
        "Labels": wanted["labels"],
        "ExposedPorts": {port: {}} if publish else {},
        "HostConfig": {
            **wanted["host"],
            "NetworkMode": wanted["network"],
            "PortBindings": {port: [{"HostIp": publish["address"], "HostPort": str(publish["host_port"])}]}
            if publish
            else {},
            # A container that dies while starting stays dead, with its exit code and log. Once healthy it gets the
            # restart policy.
            "RestartPolicy": {"Name": restart},
        },
        "NetworkingConfig": {"EndpointsConfig": {wanted["network"]: {"Aliases": [wanted["alias"]]}}},
    }
    created = str(engine.post("/containers/create", body, name=wanted["name"])["Id"])
    for name in wanted.get("also_in", []):
        engine.post(
            f"/networks/{name}/connect", {"Container": created, "EndpointConfig": {"Aliases": [wanted["alias"]]}}
        )
    return created


def start(engine: Engine, container: str) -> None:
    """Start a created container."""
    engine.post(f"/containers/{container}/start")


def inspect(engine: Engine, container: str) -> dict[str, Any]:
    """Inspect a container. Raises NotFound."""
    return dict(engine.get(f"/containers/{container}/json"))


def set_restart(engine: Engine, container: str, policy: str) -> None:
    """Change a container's restart policy."""
    engine.post(f"/containers/{container}/update", {"RestartPolicy": {"Name": policy}})


def unmark(engine: Engine, container: str) -> None:
    """Remove a container's restart policy; ignore one that is gone or being removed."""
    try:
        set_restart(engine, container, "no")
    except NotFound:
        pass
    except EngineError as error:
        if "marked for removal" not in str(error):
            raise


def died(engine: Engine, container: str) -> str | None:
    """Return how a container ended, with its last log lines; None while it runs."""
    state = inspect(engine, container)["State"]
    if state["Running"] and not state.get("Restarting"):
        return None
    killed = " (out of memory)" if state.get("OOMKilled") else ""
    fault = f": {state['Error']}" if state.get("Error") else ""
    return f"exited with code {state['ExitCode']}{killed}{fault}; last log lines:\n{last_lines(engine, container)}"


def last_lines(engine: Engine, container: str, count: int = 15) -> str:
    """Return the end of a container's log, indented."""
    log = engine.logs(container, tail=count).rstrip()
    return "\n".join(f"    {line}" for line in log.splitlines()) or "    (no log output)"


def stop_and_remove(engine: Engine, container: str, grace: float) -> None:
    """SIGTERM, up to ``grace`` seconds, SIGKILL, remove; ignore a container that is gone."""
    try:
        engine.post(f"/containers/{container}/stop", timeout=grace + 60, t=int(grace))
        remove(engine, container)
    except NotFound:
        pass


def remove(engine: Engine, container: str, force: bool = False) -> None:
    """Remove a container that ended, or with ``force`` a running one; ignore one that is gone."""
    try:
        engine.delete(f"/containers/{container}", v="true", force=str(force).lower())
    except NotFound:
        pass
    except EngineError as error:
        if "already in progress" not in str(error):
            raise


def open_connections(pid: int, port: int) -> int:
    """Count the established TCP connections to ``port`` inside the network namespace of process ``pid``."""
    return sum(1 for one in tcp(pid) if one.state == ESTABLISHED and one.port == port)


def listening_ports() -> list[int]:
    """Return the TCP ports in use on this host."""
    return sorted({one.port for one in tcp() if one.state == LISTEN})
