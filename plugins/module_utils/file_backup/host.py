# SPDX-License-Identifier: Apache-2.0
"""A host whose files are backed up: its settings, where its sources are, and which containers use them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, settings
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError, NotFound

SETTINGS = "/etc/sluice/files.json"
STATE = "/var/lib/sluice/files"
STOP_SECONDS = 60
SOCKET = "/var/run/docker.sock"


class Missing(HostError):
    """A source does not exist."""


def file_settings() -> dict[str, Any]:
    """Return what the role `file_backup` wrote about this host. Raises HostError."""
    missing = "no files of this host are backed up; set file_backup_paths or file_backup_volumes and run provision.yml"
    return settings(SETTINGS, missing)


def source_named(host: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the source called ``name``; the only one when the name is empty. Raises HostError."""
    sources = {item["name"]: item for item in host["sources"]}
    if not name and len(sources) == 1:
        return dict(next(iter(sources.values())))
    if name not in sources:
        wrong = f"there is no source {name}" if name else "there are several sources, name one"
        raise HostError(f"{wrong}: {', '.join(sources)}")
    return dict(sources[name])


def place(source: Mapping[str, Any]) -> str:
    """Return the directory or file a source is on this host; it exists and can be backed up. Raises HostError, Missing."""
    path = source["path"] or mounted(source["volume"])
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError as error:
        raise Missing(f"{path} does not exist") from error
    # Of a link, restic would keep where it leads, and not what is there.
    if stat.S_ISLNK(mode):
        raise HostError(f"{path} is a symbolic link: name {os.path.realpath(path)} instead")
    return str(path)


def mounted(volume: str) -> str:
    """Return where the files of a Docker volume are. Raises HostError, Missing."""
    try:
        found = Engine().get(f"/volumes/{volume}")
    except NotFound as error:
        raise Missing(f"there is no Docker volume {volume}") from error
    except EngineError as error:
        raise HostError(str(error)) from error
    path = str(found["Mountpoint"])
    # What is mounted only while a container uses it would be backed up as an empty directory.
    if (found.get("Options") or {}).get("device") and not os.path.ismount(path):
        raise HostError(
            f"Docker volume {volume} is a mount of {found['Options']['device']}, and not mounted now: back up what it mounts instead"
        )
    return path


def make_volume(volume: str) -> str:
    """Return where the files of a Docker volume are, which is created when it does not exist. Raises HostError."""
    try:
        Engine().post("/volumes/create", {"Name": volume})
    except EngineError as error:
        raise HostError(f"Docker volume {volume} could not be created: {error}") from error
    return mounted(volume)


def users_of(path: str) -> list[dict[str, str]]:
    """Return the running containers that have ``path``, or something above or below it, mounted: ``{id, name}`` each. Raises HostError."""
    if not os.path.exists(SOCKET):
        return []
    try:
        found = Engine().get("/containers/json", filters=json.dumps({"status": ["running", "paused", "restarting"]}))
    except EngineError as error:
        raise HostError(f"it is unknown which containers use {path}: {error}") from error
    return overlapping(found, path)


def overlapping(containers: Iterable[Mapping[str, Any]], path: str) -> list[dict[str, str]]:
    """Return those containers of the engine's list whose mounts overlap ``path``."""
    users = [
        {"id": item["Id"], "name": item["Names"][0].lstrip("/")}
        for item in containers
        if any(_overlap(mount.get("Source") or "", path) for mount in item.get("Mounts") or ())
    ]
    return sorted(users, key=lambda item: item["name"])


def _overlap(one: str, other: str) -> bool:
    return bool(one) and os.path.commonpath([one, other]) in (one, other)


def stop(container: Mapping[str, str]) -> None:
    """Stop a container, and wait until it has stopped. Raises HostError."""
    _change(container, "stop", t=STOP_SECONDS)


def start(container: Mapping[str, str]) -> None:
    """Start a container again. Raises HostError."""
    _change(container, "start")


def _change(container: Mapping[str, str], what: str, **query: Any) -> None:
    try:
        Engine(timeout=STOP_SECONDS + 30).post(f"/containers/{container['id']}/{what}", **query)
    except EngineError as error:
        raise HostError(f"container {container['name']}: {what} failed: {error}") from error
