# SPDX-License-Identifier: Apache-2.0
"""How large an image is, from its registry: https://distribution.github.io/distribution/spec/api/.

The engine resolves names and pulls; it does not tell sizes before. What cannot be learned here is not known, and stops nothing.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, login, registry_of

CERTIFICATES = "/etc/docker/certs.d"
KINDS = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)
Layers = dict[str, int]  # digest → bytes, as they travel


class Unknown(Exception):
    """The registry does not tell."""


def sizes(engine: Engine, image: str, seconds: float) -> dict[str, Any]:
    """``{"size": bytes, "layers": {digest: bytes}}`` of an image by digest that this host does not have; empty when it is not known.

    ``layers`` are those that the newest image this host has from the same repository does not share. ``seconds`` bounds the whole.
    """
    deadline = time.monotonic() + seconds
    try:
        version = engine.get("/version")
        platform = (str(version["Os"]), str(version["Arch"]))
        wanted = layers(image, platform, deadline)
    except (Unknown, KeyError):
        return {}
    repository = image.split("@", 1)[0] + "@"
    for held in engine.get("/images/json"):  # the newest first
        mine = [digest for digest in held.get("RepoDigests") or [] if digest.startswith(repository)]
        if mine:
            try:
                had = layers(mine[0], platform, deadline)
            except Unknown:
                return {"size": sum(wanted.values())}
            return {
                "size": sum(wanted.values()),
                "layers": {key: size for key, size in wanted.items() if key not in had},
            }
    return {"size": sum(wanted.values()), "layers": wanted}


def layers(image: str, platform: tuple[str, str], deadline: float) -> Layers:
    """The layers of an image by digest, for a platform (os and architecture). Raises Unknown."""
    name, _unused, digest = image.partition("@")
    registry = registry_of(image)
    repository = name.removeprefix(f"{registry}/") if registry else name if "/" in name else f"library/{name}"
    ask = _Registry(image, registry or "registry-1.docker.io", repository, deadline)
    manifest = ask.manifest(digest)
    if "manifests" in manifest:
        manifest = ask.manifest(_of_platform(manifest, platform))
    return {str(layer["digest"]): int(layer["size"]) for layer in manifest.get("layers", [])}


def _of_platform(index: Mapping[str, Any], platform: tuple[str, str]) -> str:
    for item in index["manifests"]:
        there = item.get("platform") or {}
        if (there.get("os"), there.get("architecture")) == platform:
            return str(item["digest"])
    raise Unknown


class _Registry:
    """Questions to one repository of a registry, with the credentials the engine has for it."""

    def __init__(self, image: str, registry: str, repository: str, deadline: float) -> None:
        self.registry, self.repository, self.deadline = registry, repository, deadline
        known = login(image)
        self.basic = ""
        if known.get("username"):
            text = f"{known['username']}:{known['password']}"
            self.basic = "Basic " + base64.b64encode(text.encode()).decode()
        self.authorization = self.basic

    def manifest(self, digest: str) -> dict[str, Any]:
        """A manifest, or an index of manifests. Raises Unknown."""
        answer = self._manifest(digest)
        if answer.status == 401:
            self.authorization = self._token(answer.headers.get("www-authenticate", ""))
            answer = self._manifest(digest)
        data = answer.data()
        if answer.status != 200 or not isinstance(data, dict):
            raise Unknown
        return data

    def _manifest(self, digest: str) -> plain_http.Answer:
        url = f"https://{self.registry}/v2/{self.repository}/manifests/{digest}"
        return self._get(url, {"Accept": KINDS}, self.authorization)

    def _token(self, challenge: str) -> str:
        """What a registry with a token server wants to be shown: https://distribution.github.io/distribution/spec/auth/token/."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge)) if challenge.lower().startswith("bearer ") else {}
        if not fields.get("realm", "").startswith("https://"):
            raise Unknown
        query = urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
        data = self._get(f"{fields['realm']}?{query}", {}, self.basic).data()
        token = (data.get("token") or data.get("access_token")) if isinstance(data, dict) else None
        if not token:
            raise Unknown
        return f"Bearer {token}"

    def _get(self, url: str, headers: Mapping[str, str], authorization: str) -> plain_http.Answer:
        parts = urlsplit(url)
        try:
            return plain_http.request(
                (parts.hostname or "", parts.port or 443),
                "GET",
                parts.path + (f"?{parts.query}" if parts.query else ""),
                headers={
                    "Host": parts.netloc,
                    **headers,
                    **({"Authorization": authorization} if authorization else {}),
                },
                timeout=self.deadline - time.monotonic(),
                authorities=os.path.join(CERTIFICATES, self.registry, "ca.crt"),
            )
        except (plain_http.NoAnswer, ValueError) as error:
            raise Unknown from error
