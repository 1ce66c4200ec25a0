# SPDX-License-Identifier: Apache-2.0
"""Sign images as `cosign sign --key` does, by its published format: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md.

cosign itself is not needed: a payload that names the digest, its signature in an annotation, and a manifest under a tag made of the digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

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
