# SPDX-License-Identifier: Apache-2.0
"""A host whose files are backed up: its settings, where its sources are, and which containers use them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError, NotFound
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json

SETTINGS = "/etc/sluice/files.json"
STATE = "/var/lib/sluice/files"
STOP_SECONDS = 60
SOCKET = "/var/run/docker.sock"


class FilesError(Exception):
    """Something on the host is not as it has to be; the message says what and what to do."""


class Missing(FilesError):
    """A source is not there."""


def settings(path: str = SETTINGS) -> dict[str, Any]:
    """What the role `file_backup` wrote about this host. Raises FilesError."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise FilesError(
            f"{path} is missing: no files of this host are backed up; set file_backup_paths or file_backup_volumes and run provision.yml"
        )
    return found


def source_named(host: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The source called ``name``; the only one when the name is empty. Raises FilesError."""
    sources = {item["name"]: item for item in host["sources"]}
    if not name and len(sources) == 1:
        return dict(next(iter(sources.values())))
    if name not in sources:
        wrong = f"there is no source {name}" if name else "there are several sources, name one"
        raise FilesError(f"{wrong}: {', '.join(sources)}")
    return dict(sources[name])


def place(source: Mapping[str, Any]) -> str:
    """The directory or file a source is, on this host; it is there and can be backed up. Raises FilesError, Missing."""
    path = source["path"] or mounted(source["volume"])
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError as error:
        raise Missing(f"{path} is not there") from error
    # Of a link, restic would keep where it leads, and not what is there.
    if stat.S_ISLNK(mode):
        raise FilesError(f"{path} is a symbolic link: name {os.path.realpath(path)} instead")
    return str(path)


def mounted(volume: str) -> str:
    """Where the files of a Docker volume are. Raises FilesError, Missing."""
    try:
        found = Engine().get(f"/volumes/{volume}")
    except NotFound as error:
        raise Missing(f"there is no Docker volume {volume}") from error
    except EngineError as error:
        raise FilesError(str(error)) from error
    path = str(found["Mountpoint"])
    # What is mounted only while a container uses it would be backed up as an empty directory.
    if (found.get("Options") or {}).get("device") and not os.path.ismount(path):
        raise FilesError(
            f"Docker volume {volume} is a mount of {found['Options']['device']}, and not mounted now: back up what it mounts"
        )
    return path


def make_volume(volume: str) -> str:
    """Where the files of a Docker volume are, which is made when it is not there. Raises FilesError."""
    try:
        Engine().post("/volumes/create", {"Name": volume})
    except EngineError as error:
        raise FilesError(f"Docker volume {volume} could not be made: {error}") from error
    return mounted(volume)


def users_of(path: str) -> list[dict[str, str]]:
    """The running containers that have ``path``, or something above or below it, mounted: ``{id, name}`` each. Raises FilesError."""
    if not os.path.exists(SOCKET):
        return []
    try:
        found = Engine().get("/containers/json", filters=json.dumps({"status": ["running", "paused", "restarting"]}))
    except EngineError as error:
        raise FilesError(f"nobody knows which containers use {path}: {error}") from error
    return overlapping(found, path)


def overlapping(containers: Iterable[Mapping[str, Any]], path: str) -> list[dict[str, str]]:
    """Those containers of the engine's list whose mounts overlap ``path``."""
    users = [
        {"id": item["Id"], "name": item["Names"][0].lstrip("/")}
        for item in containers
        if any(_overlap(mount.get("Source") or "", path) for mount in item.get("Mounts") or ())
    ]
    return sorted(users, key=lambda item: item["name"])


def _overlap(one: str, other: str) -> bool:
    return bool(one) and os.path.commonpath([one, other]) in (one, other)


def stop(container: Mapping[str, str]) -> None:
    """Stop a container, and know that it has stopped. Raises FilesError."""
    _change(container, "stop", t=STOP_SECONDS)


def start(container: Mapping[str, str]) -> None:
    """Start a container again. Raises FilesError."""
    _change(container, "start")


def _change(container: Mapping[str, str], what: str, **query: Any) -> None:
    try:
        Engine(timeout=STOP_SECONDS + 30).post(f"/containers/{container['id']}/{what}", **query)
    except EngineError as error:
        raise FilesError(f"container {container['name']}: {what} failed: {error}") from error
