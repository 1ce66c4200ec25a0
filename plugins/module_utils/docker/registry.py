# SPDX-License-Identifier: Apache-2.0
"""The size of an image, from its registry: https://distribution.github.io/distribution/spec/api/.

The engine resolves names and pulls, but does not report sizes in advance. A size that cannot be read is unknown, with the reason, and blocks nothing.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ansible_collections.sluice.stack.plugins.module_utils.docker.docker_host import explain
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, login, registry_of
from ansible_collections.sluice.stack.plugins.module_utils.docker.registry_http import Client, Unknown
from ansible_collections.sluice.stack.plugins.module_utils.parallel import within
from ansible_collections.sluice.stack.plugins.module_utils.plain_http import Answer

DOCKER_HUB = "registry-1.docker.io"
KINDS = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)
Layers = dict[str, int]  # digest → compressed bytes


def sizes(engine: Engine, image: str, seconds: float) -> dict[str, Any]:
    """Return ``{"size": bytes, "layers": {digest: bytes}}`` of an image by digest that this host lacks, or ``{"size_unknown": reason}``.

    ``layers`` are those missing from this host's newest image of the same repository. ``seconds`` is the total timeout.
    """
    try:
        return within(seconds, lambda: _sizes(engine, image, time.monotonic() + seconds))
    except Unknown as error:
        return {"size_unknown": str(error)}
    except TimeoutError as error:
        return {"size_unknown": explain(error, registry_of(image))}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {"size_unknown": f"registry {registry_of(image) or DOCKER_HUB} did not return a manifest"}


def _sizes(engine: Engine, image: str, deadline: float) -> dict[str, Any]:
    name, _unused, digest = image.partition("@")
    registry = registry_of(image)
    repository = name.removeprefix(f"{registry}/") if registry else name if "/" in name else f"library/{name}"
    there = _Registry(Client(registry or DOCKER_HUB, engine.info(), deadline), image, repository)
    found = there.layers(digest, engine.platform)
    size = sum(found.values())
    for held in engine.get("/images/json"):  # the newest first
        mine = [one for one in held.get("RepoDigests") or [] if one.startswith(f"{name}@")]
        if mine:
            try:
                had = there.layers(mine[0].partition("@")[2], engine.platform)
            except Unknown:
                return {"size": size}
            return {"size": size, "layers": {key: bytes_ for key, bytes_ in found.items() if key not in had}}
    return {"size": size, "layers": found}


def _of_platform(index: Mapping[str, Any], platform: tuple[str, str]) -> str:
    for item in index["manifests"]:
        there = item.get("platform") or {}
        if (there.get("os"), there.get("architecture")) == platform:
            return str(item["digest"])
    raise Unknown(f"the registry has no image for {'/'.join(platform)}")


class _Registry:
    """Requests for one repository of a registry, with the engine's credentials."""

    def __init__(self, client: Client, image: str, repository: str) -> None:
        self.client, self.repository = client, repository
        known = login(image)
        if known.get("identitytoken"):
            raise Unknown(
                f"this host logs in to {client.registry} with an identity token, which only the engine can use"
            )
        self.basic = ""
        if known.get("username"):
            text = f"{known['username']}:{known['password']}"
            self.basic = "Basic " + base64.b64encode(text.encode()).decode()
        self.authorization = self.basic

    def layers(self, digest: str, platform: tuple[str, str]) -> Layers:
        """Return the layers of an image for a platform (os and architecture). Raises Unknown."""
        manifest = self._manifest(digest)
        if "manifests" in manifest:
            manifest = self._manifest(_of_platform(manifest, platform))
        return {str(layer["digest"]): int(layer["size"]) for layer in manifest.get("layers", [])}

    def _manifest(self, digest: str) -> dict[str, Any]:
        """Return a manifest, or an index of manifests."""
        answer = self._get(digest)
        if answer.status == 401:
            self.authorization = self._token(answer.headers.get("www-authenticate", ""))
            answer = self._get(digest)
        data = answer.data()
        if answer.status != 200 or not isinstance(data, dict):
            raise self._refused(answer)
        return data

    def _get(self, digest: str) -> Answer:
        url = f"https://{self.client.registry}/v2/{self.repository}/manifests/{digest}"
        return self.client.get(url, {"Accept": KINDS}, self.authorization)

    def _token(self, challenge: str) -> str:
        """Get a token from the registry's token server: https://distribution.github.io/distribution/spec/auth/token/."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge)) if challenge.lower().startswith("bearer ") else {}
        realm = fields.get("realm", "")
        if not realm.startswith("https://") and not (self.client.insecure and realm.startswith("http://")):
            raise Unknown(explain(Exception("unauthorized"), self.client.registry))
        query = urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
        answer = self.client.get(f"{realm}?{query}", {}, self.basic)
        data = answer.data()
        token = (data.get("token") or data.get("access_token")) if isinstance(data, dict) else None
        if not token:
            raise self._refused(answer)
        return f"Bearer {token}"

    def _refused(self, answer: Answer) -> Unknown:
        word = {401: "unauthorized", 403: "denied", 404: "not found"}.get(answer.status)
        if word:
            return Unknown(explain(Exception(word), self.client.registry))
        return Unknown(f"registry {self.client.registry} returned status {answer.status} and no manifest")
