# SPDX-License-Identifier: Apache-2.0
"""The gate of signed images, in the format of `cosign sign --key`: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md.

Pure: it is given what the registry holds, and the public keys.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import FAILED, OK, UNKNOWN, Result

TYPE = "cosign container image signature"
FIX = "sign what CI built, by digest: docs/runbooks/checklists.md"


def fault(digest: str, signatures: Sequence[Mapping[str, str]], keys: Sequence[str]) -> str:
    """Why no signature shows that a holder of one of the keys signed this digest; empty when one does."""
    if not signatures:
        return "is not signed"
    reasons = [_fault(digest, one, keys) for one in signatures]
    return "" if "" in reasons else reasons[0]


def _fault(digest: str, given: Mapping[str, str], keys: Sequence[str]) -> str:
    try:
        payload = base64.b64decode(given["payload"], validate=True)
        signature = base64.b64decode(given["signature"], validate=True)
    except (binascii.Error, ValueError):
        return "has a signature that is no base64"
    if not any(_signed_by(key, signature, payload) for key in keys):
        return "is signed, but by none of app_signature.keys"
    try:
        critical = json.loads(payload)["critical"]
        about, kind = critical["image"]["docker-manifest-digest"], critical["type"]
    except (ValueError, KeyError, TypeError):
        return "has a signed statement that is none about an image"
    if kind != TYPE:
        return "has a signed statement that is none about an image"
    return "" if about == digest else f"has the signature of another image, {about}"


def _signed_by(pem: str, signature: bytes, payload: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - the controller has it with Ansible
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa  # noqa: PLC0415

    try:
        key = serialization.load_pem_public_key(pem.strip().encode())
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, payload)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def signature(facts: Facts, _unused: Mapping[str, Any]) -> Result:
    """Each image is signed, by digest, with a key of the inventory."""
    if not facts.public_keys:
        return Result("signature", UNKNOWN, "there is no public key", "set app_signature.keys")
    if not facts.images:
        why = next((f"{host}: {reason}" for host, reason in facts.unanswered.items()), "no app host was asked")
        return Result("signature", UNKNOWN, why, "bring an app host back")
    for reference, found in facts.images.items():
        if found.get("error"):
            return Result(
                "signature",
                UNKNOWN,
                f"image {reference}: {found['error']}",
                "have the registry answer, then run it again",
            )
        wrong = fault(found["digest"], found["signatures"], facts.public_keys)
        if wrong:
            return Result("signature", FAILED, f"image {reference} ({found['digest'][:19]}…) {wrong}", FIX)
    return Result("signature", OK, f"{len(facts.images)} images, by digest")


def moved(judged: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> str:
    """Why the release is not what the gates judged; empty when it is: a tag can move between two looks at it."""
    for service in manifest["services"].values():
        seen = judged.get(service["reference"])
        digest = service["image"].partition("@")[2]
        if seen and seen.get("digest") and seen["digest"] != digest:
            return (
                f"image {service['reference']} was {seen['digest']} when the gates judged it and is {digest} now: its tag moved during the run, "
                "run the command again"
            )
    return ""
