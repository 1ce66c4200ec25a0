# SPDX-License-Identifier: Apache-2.0
"""Sign images as `cosign sign --key` does, by its published format: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md.

cosign itself is not needed: a payload that names the digest, its signature in an annotation, and a manifest under a tag made of the digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key pair as `cosign generate-key-pair` makes it: ECDSA P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Any) -> str:
    """cosign.pub."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def payload(
    digest: str, reference: str = "registry.test/shop", kind: str = "cosign container image signature"
) -> bytes:
    """What is signed."""
    critical = {"identity": {"docker-reference": reference}, "image": {"docker-manifest-digest": digest}, "type": kind}
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def signed(said: bytes, key: ec.EllipticCurvePrivateKey) -> str:
    """The signature in base64."""
    return base64.b64encode(key.sign(said, ec.ECDSA(hashes.SHA256()))).decode()


def tag(digest: str) -> str:
    """Where the signatures of a digest are."""
    return f"{digest.replace(':', '-')}.sig"


def manifest(said: bytes, signature: str) -> dict[str, Any]:
    """The manifest that holds one signature."""
    config = b"{}"
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config), "digest": sha(config)},
        "layers": [
            {"mediaType": SIMPLE, "size": len(said), "digest": sha(said), "annotations": {ANNOTATION: signature}}
        ],
    }


def sha(blob: bytes) -> str:
    """The digest of bytes."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


class Registry:
    """A repository of a registry with TLS and a password."""

    def __init__(self, registry: str, repository: str, user: str, password: str, authority: Path) -> None:
        self._base = f"https://{registry}/v2/{repository}/"
        self._login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._context = ssl.create_default_context(cafile=str(authority))

    def digest(self, reference: str) -> str:
        """What a tag is."""
        accepted = f"{MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"
        return str(self._ask("GET", f"manifests/{reference}", headers={"Accept": accepted})["docker-content-digest"])

    def sign(self, digest: str, key: ec.EllipticCurvePrivateKey, about: str = "") -> None:
        """Put a signature beside an image; ``about``: of another digest."""
        said = payload(about or digest)
        for blob in (said, b"{}"):
            place = self._ask("POST", "blobs/uploads/", b"")["location"]
            mark = "&" if "?" in place else "?"
            self._ask("PUT", f"{place}{mark}digest={sha(blob)}", blob, {"Content-Type": "application/octet-stream"})
        text = json.dumps(manifest(said, signed(said, key))).encode()
        self._ask("PUT", f"manifests/{tag(digest)}", text, {"Content-Type": MANIFEST})

    def forget(self, digest: str) -> None:
        """Take the signatures away, where there are any and the registry lets them be removed."""
        try:
            self._ask("DELETE", f"manifests/{self.digest(tag(digest))}")
        except urllib.error.HTTPError as error:
            if error.code not in (404, 405):
                raise

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, str]:
        request = urllib.request.Request(
            urljoin(self._base, path), body, {**(headers or {}), "Authorization": self._login}, method=method
        )
        with urllib.request.urlopen(request, timeout=15, context=self._context) as answer:
            answer.read()
            return {name.lower(): value for name, value in answer.headers.items()}
