# SPDX-License-Identifier: Apache-2.0
"""The size of an image, and its signatures, from its registry: https://distribution.github.io/distribution/spec/api/.

The engine resolves names and pulls, but does not report sizes in advance. A size that cannot be read is unknown, with the reason, and blocks nothing.
Signatures are only read here; see module_utils/gates/signature.py.
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
# The annotation of a layer that holds the signature of its blob, and how many of an image are looked at.
SIGNATURE = "dev.cosignproject.cosign/signature"
SIGNATURES_MOST = 10
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


def signatures(engine: Engine, image: str, seconds: float) -> dict[str, Any]:
    """Return ``{"signatures": [{payload, signature}]}`` of an image by digest, both in base64, none when it is not signed; or ``{"error": line}``.

    They are where cosign puts them: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#storage. ``seconds`` is the total timeout.
    """
    try:
        return {"signatures": within(seconds, lambda: _signatures(engine, image, time.monotonic() + seconds))}
    except Unknown as error:
        return {"error": str(error)}
    except TimeoutError as error:
        return {"error": explain(error, registry_of(image))}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {"error": f"registry {registry_of(image) or DOCKER_HUB} has a signature of {image} that cannot be read"}


def _signatures(engine: Engine, image: str, deadline: float) -> list[dict[str, str]]:
    there = _repository(engine, image, deadline)
    digest = image.partition("@")[2]
    manifest = there.manifest(f"{digest.replace(':', '-')}.sig", absent_allowed=True)
    return [
        {
            "payload": base64.b64encode(there.blob(layer["digest"])).decode(),
            "signature": layer["annotations"][SIGNATURE],
        }
        for layer in (manifest or {}).get("layers", [])[:SIGNATURES_MOST]
        if SIGNATURE in (layer.get("annotations") or {})
    ]


def _repository(engine: Engine, image: str, deadline: float) -> _Repository:
    name, registry = image.partition("@")[0], registry_of(image)
    repository = name.removeprefix(f"{registry}/") if registry else name if "/" in name else f"library/{name}"
    return _Repository(Client(registry or DOCKER_HUB, engine.info(), deadline), image, repository)


def _sizes(engine: Engine, image: str, deadline: float) -> dict[str, Any]:
    name, _unused, digest = image.partition("@")
    there = _repository(engine, image, deadline)
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


class _Repository:
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
        manifest = self.manifest(digest) or {}
        if "manifests" in manifest:
            manifest = self.manifest(_of_platform(manifest, platform)) or {}
        return {str(layer["digest"]): int(layer["size"]) for layer in manifest.get("layers", [])}

    def manifest(self, reference: str, absent_allowed: bool = False) -> dict[str, Any] | None:
        """Return a manifest, or an index of manifests, by digest or tag; None without one where that is allowed. Raises Unknown."""
        answer = self._get(f"manifests/{reference}")
        if answer.status == 404 and absent_allowed:
            return None
        data = answer.data()
        if answer.status != 200 or not isinstance(data, dict):
            raise self._refused(answer)
        return data

    def blob(self, digest: str) -> bytes:
        """Return a small blob. Raises Unknown."""
        answer = self._get(f"blobs/{digest}")
        if answer.status != 200:
            raise self._refused(answer)
        return answer.body

    def _get(self, path: str) -> Answer:
        url = f"https://{self.client.registry}/v2/{self.repository}/{path}"
        answer = self.client.get(url, {"Accept": KINDS}, self.authorization)
        if answer.status == 401:
            self.authorization = self._token(answer.headers.get("www-authenticate", ""))
            answer = self.client.get(url, {"Accept": KINDS}, self.authorization)
        return answer

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
