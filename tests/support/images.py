# SPDX-License-Identifier: Apache-2.0
"""Images that behave badly: a good one with another command, made in the lab's registry without moving a layer.

The protocol is the OCI distribution specification: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import random
import ssl
import tarfile
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import cosign
from tests.support.lab import APP, REGISTRY, Lab
from tests.support.playbook import REPO

MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
# The base of every variant; its migrations are applied when a variant is deployed.
GOOD = "v1.1.0"
# As it comes.
SOUND = ["node", "dist/main.js"]
# Everything works but the question whether it is ready.
UNHEALTHY = [
    "node",
    "-e",
    "console.log('cannot warm up: the cache is cold'); require('http').createServer((request, response) => {"
    " response.statusCode = 503; response.end('cold') }).listen(process.env.PORT || 4000)",
]
# The process ends with a number of its own and last words.
CRASH = ["node", "-e", "console.error('fatal: no lease on the warehouse'); process.exit(37)"]
# Fine for itself, and for nobody outside its container.
LOCAL = [
    "node",
    "-e",
    "require('http').createServer((request, response) => response.end('ok')).listen(4000, '127.0.0.1')",
]
# Knows one host name and insists on TLS, as a framework does in production.
STRICT = [
    "node",
    "-e",
    "require('http').createServer((request, response) => {"
    " const { host } = request.headers, secure = request.headers['x-forwarded-proto'] === 'https';"
    " response.statusCode = host !== 'shop.example.com' ? 500 : secure ? 200 : 301;"
    " if (response.statusCode === 301) response.setHeader('Location', `https://${host}${request.url}`);"
    " response.end(`host ${host}`) }).listen(4000)",
]


class Variants:
    """Makes variants of the reference app."""

    def __init__(self, lab: Lab) -> None:
        """For the running lab."""
        login = f"marketplace:{lab.secrets()['vault_registry_password']}".encode()
        self._headers = {"Authorization": "Basic " + base64.b64encode(login).decode()}
        self._tls = ssl.create_default_context(cafile=str(REPO / ".lab/ca/ca.pem"))

    def push(
        self, tag: str, command: list[str] | None = None, *, files: dict[str, str] | None = None, weight: int = 0
    ) -> str:
        """Give the good frontend, and the good backend with another command or more in it, a tag; returns the tag.

        ``files`` maps paths without the leading slash to texts. With a ``weight``, in bytes, there is a file of that size, which does
        not compress and which no host has. Both come in a layer of their own.
        """
        self._tag("frontend", tag, *self._manifest("frontend"))
        manifest, kind = self._manifest("backend")
        config = json.loads(self._call("GET", "backend", f"/blobs/{manifest['config']['digest']}")[0])
        if command:
            config["config"]["Cmd"] = command
        added = {path: text.encode() for path, text in (files or {}).items()}
        if weight:
            added["ballast"] = random.randbytes(weight)
        if added:
            layer = _layer(added)
            blob = gzip.compress(layer, mtime=0)
            manifest["layers"].append(
                {**manifest["layers"][-1], "digest": self._upload("backend", blob), "size": len(blob)}
            )
            config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(layer).hexdigest())
            config.setdefault("history", []).append({"created_by": "a test's files"})
        blob = json.dumps(config).encode()
        manifest["config"] = {**manifest["config"], "digest": self._upload("backend", blob), "size": len(blob)}
        self._tag("backend", tag, manifest, kind)
        return tag

    def migrations(self, tag: str, **scripts: str) -> str:
        """The good app with more migrations; ``scripts`` maps their names, which begin with a letter, to SQL."""
        return self.push(
            tag, files={f"app/prisma/migrations/30000101_{name}/migration.sql": sql for name, sql in scripts.items()}
        )

    def sign(self, tag: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Sign both images of a tag by their digests."""
        for service in ("backend", "frontend"):
            digest = self._digest(service, tag)
            said = cosign.payload(digest)
            for blob in (said, b"{}"):
                self._upload(service, blob)
            self._tag(service, cosign.tag(digest), cosign.manifest(said, cosign.signed(said, key)), cosign.MANIFEST)

    def unsign(self, tag: str) -> None:
        """Take the signatures of a tag's images away."""
        for service in ("backend", "frontend"):
            signature = cosign.tag(self._digest(service, tag))
            if signature in json.loads(self._call("GET", service, "/tags/list")[0])["tags"]:
                self._call("DELETE", service, f"/manifests/{self._digest(service, signature)}")

    def _digest(self, service: str, tag: str) -> str:
        headers = self._call("GET", service, f"/manifests/{tag}", headers={"Accept": MANIFESTS})[1]
        return headers["docker-content-digest"]

    def _manifest(self, service: str) -> tuple[dict[str, Any], str]:
        body, headers = self._call("GET", service, f"/manifests/{GOOD}", headers={"Accept": MANIFESTS})
        return json.loads(body), headers["content-type"]

    def _tag(self, service: str, tag: str, manifest: dict[str, Any], kind: str) -> None:
        self._call("PUT", service, f"/manifests/{tag}", json.dumps(manifest).encode(), {"Content-Type": kind})

    def _upload(self, service: str, blob: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        target = urlsplit(self._call("POST", service, "/blobs/uploads/")[1]["location"])
        kind = {"Content-Type": "application/octet-stream"}
        self._request("PUT", f"{target.path}?{target.query}&digest={digest}", blob, kind)
        return digest

    def _call(
        self, method: str, service: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        return self._request(method, f"/v2/{APP}/{service}{path}", body, headers)

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str] | None
    ) -> tuple[bytes, dict[str, str]]:
        connection = http.client.HTTPSConnection(REGISTRY, timeout=20, context=self._tls)
        try:
            connection.request(method, path, body, {**self._headers, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, f"registry: {method} {path}: {answer.status} {text[:300]!r}"
            return text, {key.lower(): value for key, value in answer.getheaders()}
        finally:
            connection.close()


def _layer(files: dict[str, bytes]) -> bytes:
    """A layer with these files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
    return target.getvalue()
