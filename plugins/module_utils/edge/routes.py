# SPDX-License-Identifier: Apache-2.0
"""Which route a path of a host name has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Manifest = Mapping[str, Any]
Route = Mapping[str, Any]


def folder(path: str) -> str:
    """Return a path with a '/' at its end."""
    return path.rstrip("/") + "/"


def label(host: str, path: str) -> str:
    """Return the name of a route in logs and figures: its host name, if it has one, and its path without the '/' at the end."""
    return f"{host}{path.rstrip('/') or '/'}"


def table(release: Manifest, host: str) -> list[Route]:
    """Return a release's routes for a host name: its own, else those for any name."""
    own = [route for route in release["routes"] if (route["host"] or "") == host]
    return own or [route for route in release["routes"] if not route["host"]]


def route(releases: Sequence[Manifest], host: str, path: str) -> Route | None:
    """Return the route of a path: the longest match, of the newest release that has one."""
    for release in reversed(releases):
        routes = table(release, host)
        # Assets of a route belong to its service wherever they are.
        files = [one for one in routes if one["assets"] and folder(one["assets"]) == path]
        found = files or [one for one in routes if path.startswith(folder(one["path"]))]
        if found:
            return max(found, key=lambda one: len(folder(one["path"])))
    return None
