# SPDX-License-Identifier: Apache-2.0
"""What an inventory says about repositories, as files and settings of a host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PASSPHRASE_LENGTH = 20


def incomplete(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of repositories that lack something: a long passphrase, or what an object store takes."""
    store = ("endpoint", "bucket", "access_key", "secret_key")
    return [
        item["name"]
        for item in items
        if len(item["passphrase"]) < PASSPHRASE_LENGTH
        or (item["type"] == "s3" and not all(item.get(name) for name in store))
    ]


def folders(items: Iterable[Mapping[str, Any]], kind: str, keys: str) -> list[dict[str, Any]]:
    """Return the directories restic needs, as host_files takes them: of the keys, and ``kind`` below the path of each repository.

    A repository's own directory keeps its mode, because other backups may be in it.
    """
    paths = [f"{item['path'].rstrip('/')}/{kind}" for item in items if item["type"] == "directory"]
    return [{"path": path, "mode": "0700"} for path in [keys, *paths]]


def authorities(
    items: Iterable[Mapping[str, Any]], folder: str, group: str = "root", mode: str = "0600"
) -> list[dict[str, Any]]:
    """Return the certificates of object stores' authorities, as files host_files takes."""
    return [
        {"path": f"{folder}/{item['name']}-ca.pem", "group": group, "mode": mode, "content": f"{item['ca']}\n"}
        for item in items
        if item.get("ca")
    ]


def secrets(items: Iterable[Mapping[str, Any]], folder: str) -> list[dict[str, Any]]:
    """Return what opens repositories, as files host_files takes: ``store.passphrase``, ``store.previous``, ``store.credentials``."""
    found = {}
    for item in items:
        found[f"{item['name']}.passphrase"] = f"{item['passphrase']}\n"
        # Empty when there is none, so that the file of an earlier one does not stay.
        found[f"{item['name']}.previous"] = f"{item.get('passphrase_previous') or ''}\n"
        if item["type"] == "s3":
            found[f"{item['name']}.credentials"] = (
                f"[default]\naws_access_key_id = {item['access_key']}\naws_secret_access_key = {item['secret_key']}\n"
            )
    return [{"path": f"{folder}/{name}", "mode": "0600", "content": content} for name, content in found.items()]


def repositories(items: Iterable[Mapping[str, Any]], folder: str, keys: str, cache: str) -> list[dict[str, Any]]:
    """Return what restic.run needs, in which there is no secret.

    ``folder`` is below each repository's path; ``keys`` and ``cache`` are directories of the host.
    """
    found = []
    for item in items:
        path, options, url, endpoint = f"{item['path'].rstrip('/')}/{folder}", [], "", ""
        if item["type"] == "s3":
            endpoint, style = item["endpoint"], item.get("uri_style") or "host"
            url = f"s3:https://{endpoint}/{item['bucket']}/{path.lstrip('/')}"
            lookup = "path" if style == "path" else "dns"
            options = [f"s3.bucket-lookup={lookup}", f"s3.region={item.get('region') or 'us-east-1'}"]
        found.append(
            {
                "name": item["name"],
                "url": url or path,
                "endpoint": endpoint,
                "options": options,
                "keep": {"weekly": int(item.get("retention_full") or 4)},
                "keys": keys,
                "cache": cache,
                "ca": f"{keys}/{item['name']}-ca.pem" if item.get("ca") else "",
            }
        )
    return found
