# SPDX-License-Identifier: Apache-2.0
"""Signed statements and signed images: what counts, and everything that must not."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.gates import approval, signature
from ansible_collections.sluice.stack.plugins.module_utils.gates.facts import Evidence, Facts
from ansible_collections.sluice.stack.plugins.module_utils.gates.result import Result
from ansible_collections.sluice.stack.plugins.plugin_utils import gate_evidence
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from tests.support import cosign

NOW = 1_795_389_300.0
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
IMAGE = "registry.test/shop/web:v1.4.2"


class People:
    """Who approves, with an SSH key each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.evidence, self.keys = folder, folder / "evidence", {}
        self.evidence.mkdir()
        for name in ("anna", "ben", "eve"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True
            )
            self.keys[name] = f"{name} {' '.join((folder / f'{name}.pub').read_text().split()[:2])}"

    def approve(
        self, name: str, file: str = "", key: str = "", namespace: str = "sluice-approval@shop", **more: Any
    ) -> Path:
        """As docs/runbooks/checklists.md says."""
        said = {
            "approver": name,
            "app": "shop",
            "version": "v1.4.2",
            "environment": "production",
            "expires": "2026-11-30T00:00:00Z",
            **more,
        }
        path = self.evidence / f"{file or name}.approval.json"
        path.write_text(json.dumps(said))
        path.with_name(f"{path.name}.sig").unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.folder / (key or name)), "-n", namespace, str(path)],
            check=True,
            capture_output=True,
        )
        return path

    def judged(
        self, by: int = 1, allowed: tuple[str, ...] = ("anna", "ben"), images: Any = None, now: float = NOW
    ) -> Result:
        keys = [self.keys.get(one, one) for one in allowed]
        seen = gate_evidence.read(str(self.evidence), "shop", keys)
        facts = Facts(now, "shop", "v1.4.2", "production", evidence=seen, images=images or {})
        return approval.approval(facts, {"by": by, "keys": keys})


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


def test_a_signed_statement_approves(people: People) -> None:
    assert people.judged().state == "failed", "nobody has"
    people.approve("anna")
    assert people.judged() == Result("approval", "ok", "by anna")
    found = people.judged(by=2)
    assert (found.state, found.evidence) == ("failed", "1 of 2 approvals of v1.4.2 for production, by anna")
    people.approve("ben")
    assert people.judged(by=2).evidence == "by anna, ben"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"version": "v1.4.1"}, "it is about v1.4.1, not v1.4.2"),
        ({"environment": "staging"}, "it is for staging, not production"),
        ({"app": "blog"}, "it is about blog, not shop"),
        ({"expires": "2026-11-01T00:00:00Z"}, "it has expired"),
        ({"namespace": "file"}, "it is not signed by anna with a key of app_gates.approval.keys"),
        ({"namespace": "sluice-approval@blog"}, "it is not signed by anna with a key of app_gates.approval.keys"),
        ({"key": "eve"}, "it is not signed by anna with a key of app_gates.approval.keys"),
        ({"key": "ben"}, "it is not signed by anna with a key of app_gates.approval.keys"),
    ],
)
def test_a_statement_that_does_not_count(people: People, more: dict[str, Any], why: str) -> None:
    people.approve("anna", **more)
    found = people.judged()
    assert found.state == "failed"
    assert f"anna.approval.json: {why}" in found.evidence


def test_a_signer_who_is_not_allowed_is_refused(people: People) -> None:
    people.approve("eve")
    assert people.judged().state == "failed"
    assert people.judged(allowed=("eve",)).state == "ok"


def test_a_changed_statement_is_refused(people: People) -> None:
    path = people.approve("anna")
    path.write_text(path.read_text().replace("production", "production "))
    assert people.judged().state == "failed"


def test_an_unsigned_statement_is_refused(people: People) -> None:
    people.approve("anna").with_name("anna.approval.json.sig").unlink()
    assert "it is not signed: there is no anna.approval.json.sig" in people.judged().evidence


def test_nobody_counts_twice(people: People) -> None:
    people.approve("anna")
    people.approve("anna", file="again")
    assert people.judged(by=2).state == "failed", "two statements"
    # One person under two names, with one key.
    alias = people.keys["anna"].replace("anna ", "annie ", 1)
    people.approve("annie", key="anna")
    assert people.judged(by=2, allowed=("anna", alias)).state == "failed"
    # One person with two keys.
    second = people.keys["ben"].replace("ben ", "anna ", 1)
    people.approve("anna", file="again", key="ben")
    assert people.judged(by=2, allowed=("anna", second)).state == "failed"


def test_a_statement_about_digests_is_for_these_images_only(people: People) -> None:
    people.approve("anna", version="", digests=[DIGEST])
    assert people.judged(images={IMAGE: {"digest": DIGEST}}).state == "ok"
    assert people.judged(images={IMAGE: {"digest": OTHER}}).state == "failed"
    assert people.judged(images={IMAGE: {"digest": DIGEST}, "other": {"digest": OTHER}}).state == "failed"
    assert people.judged(images={}).state == "failed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"approver": "anna"}',
        '{"approver": "-x", "app": "shop", "version": "v1", "environment": "e", "expires": "2026-11-30T00:00:00Z"}',
    ],
)
def test_a_file_that_is_no_statement_is_named(people: People, text: str) -> None:
    (people.evidence / "x.approval.json").write_text(text)
    assert "x.approval.json: " in people.judged().evidence


def test_without_ssh_keygen_nothing_is_approved(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    people.approve("anna")
    assert shutil.which("ssh-keygen")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "ssh-keygen is not installed" in people.judged().evidence


# images


def signed(key: Any, about: str = DIGEST, kind: str = "cosign container image signature") -> dict[str, str]:
    said = cosign.payload(about, kind=kind)
    return {"payload": base64.b64encode(said).decode(), "signature": cosign.signed(said, key)}


def test_an_image_is_signed_by_one_of_the_keys() -> None:
    key, other = cosign.new_key(), cosign.new_key()
    keys = [cosign.public(key)]
    assert signature.fault(DIGEST, [signed(key)], keys) == ""
    assert signature.fault(DIGEST, [signed(other), signed(key)], keys) == "", "one good signature is enough"
    assert signature.fault(DIGEST, [], keys) == "is not signed"
    assert signature.fault(DIGEST, [signed(other)], keys) == "is signed, but by none of app_signature.keys"
    assert signature.fault(DIGEST, [signed(key, OTHER)], keys) == f"has the signature of another image, {OTHER}"
    assert (
        signature.fault(DIGEST, [signed(key, kind="a receipt")], keys)
        == "has a signed statement that is none about an image"
    )
    broken = {**signed(key), "payload": signed(key, OTHER)["payload"]}
    assert signature.fault(DIGEST, [broken], keys) == "is signed, but by none of app_signature.keys"
    assert signature.fault(DIGEST, [{**signed(key), "signature": "?"}], keys) == "has a signature that is no base64"
    assert signature.fault(DIGEST, [signed(key)], ["no key"]) == "is signed, but by none of app_signature.keys"


def test_other_kinds_of_keys_verify_too() -> None:
    said = cosign.payload(DIGEST)
    for key, raw in (
        (edwards := ed25519.Ed25519PrivateKey.generate(), edwards.sign(said)),
        (old := rsa.generate_private_key(65537, 2048), old.sign(said, padding.PKCS1v15(), hashes.SHA256())),
    ):
        one = {"payload": base64.b64encode(said).decode(), "signature": base64.b64encode(raw).decode()}
        assert signature.fault(DIGEST, [one], [cosign.public(key)]) == ""
        assert signature.fault(OTHER, [one], [cosign.public(key)])


def test_every_image_must_be_signed_and_seen() -> None:
    key = cosign.new_key()

    def judged(**images: Any) -> Result:
        found = {f"registry.test/{name}:v1": item for name, item in images.items()}
        facts = Facts(
            NOW,
            "shop",
            "v1",
            "production",
            images=found,
            public_keys=[cosign.public(key)],
            unanswered={"app1": "no route"},
        )
        return signature.signature(facts, {})

    good = {"digest": DIGEST, "signatures": [signed(key)]}
    assert judged(web=good) == Result("signature", "ok", "1 images, by digest")
    assert judged(web=good, api={"digest": OTHER, "signatures": []}).state == "failed"
    found = judged(web=good, api={"error": "registry registry.test timed out"})
    assert (found.state, found.evidence) == ("unknown", "image registry.test/api:v1: registry registry.test timed out")
    assert (judged().state, judged().evidence) == ("unknown", "app1: no route")
    assert signature.signature(Facts(NOW, "shop", "v1", "production", evidence=Evidence()), {}).state == "unknown"


def test_a_tag_that_moved_after_the_gates_is_refused() -> None:
    manifest = {"services": {"web": {"reference": IMAGE, "image": f"registry.test/shop/web@{OTHER}"}}}
    assert "its tag moved during the run" in signature.moved({IMAGE: {"digest": DIGEST}}, manifest)
    assert signature.moved({IMAGE: {"digest": OTHER}}, manifest) == ""
    assert signature.moved({}, manifest) == ""
