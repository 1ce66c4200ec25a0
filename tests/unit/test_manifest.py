# SPDX-License-Identifier: Apache-2.0
"""A release is immutable, named once, and comparable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.release import manifest as manifests

NOW = datetime(2026, 11, 22, 23, 15, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def build(contract: dict[str, Any], known: tuple[str, ...] = ()) -> manifests.Manifest:
    digests = {service["image"]: DIGEST for service in contract["services"].values()}
    return manifests.build(contract, digests, NOW, known)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nginx", "nginx"),
        ("nginx:1.26", "nginx"),
        ("library/nginx:1.26", "library/nginx"),
        ("registry.test/shop/web", "registry.test/shop/web"),
        ("registry.test/shop/web:v1", "registry.test/shop/web"),
        ("registry.test:5000/shop/web", "registry.test:5000/shop/web"),
        ("registry.test:5000/shop/web:v1", "registry.test:5000/shop/web"),
        ("10.213.7.41:5000/web", "10.213.7.41:5000/web"),
        ("registry.test:5000/shop/web@sha256:0123", "registry.test:5000/shop/web"),
        ("registry.test:5000/shop/web:v1@sha256:0123", "registry.test:5000/shop/web"),
    ],
)
def test_every_form_of_a_reference_is_pinned_by_digest(reference: str, expected: str) -> None:
    assert manifests.pinned(reference, DIGEST) == f"{expected}@{DIGEST}"


def test_a_manifest_says_what_runs_and_keeps_the_reference_it_came_from(contract: dict[str, Any]) -> None:
    manifest = build(contract)
    assert manifest["id"] == "20261122T231500Z-v1.0.0"
    assert manifest["created"] == "2026-11-22T23:15:00Z"
    assert manifest["services"]["backend"]["image"] == f"registry.test:5000/shop/backend@{DIGEST}"
    assert manifest["services"]["backend"]["reference"] == "registry.test:5000/shop/backend:v1.0.0"
    assert "hunter2" not in str(manifest)


def test_an_id_is_never_used_twice(contract: dict[str, Any]) -> None:
    assert build(contract, ("20261122T231500Z-v1.0.0",))["id"] == "20261122T231501Z-v1.0.0"


def test_the_fingerprint_ignores_when_and_how_it_was_named(contract: dict[str, Any]) -> None:
    assert build(contract)["fingerprint"] == build(contract, ("20261122T231500Z-v1.0.0",))["fingerprint"]


def test_the_fingerprint_follows_what_containers_and_visitors_see(contract: dict[str, Any]) -> None:
    before = build(contract)["fingerprint"]
    contract["services"]["backend"]["env"] = {"LOG_LEVEL": "debug"}
    assert build(contract)["fingerprint"] != before


def test_changes_are_named_by_path(contract: dict[str, Any]) -> None:
    old = build(contract)
    contract["version"] = "v1.1.0"
    contract["services"]["backend"] |= {
        "image": "registry.test:5000/shop/backend:v1.1.0",
        "secrets": {"NEW": "0123456789"},
    }
    contract["routes"] = contract["routes"][:1]
    new = manifests.build(
        contract, {service["image"]: "sha256:" + "b" * 64 for service in contract["services"].values()}, NOW, ()
    )
    assert manifests.changes(old, new) == [
        "routes",
        "services.backend.image",
        "services.backend.secrets.DATABASE_URL",
        "services.backend.secrets.NEW",
        "services.frontend.image",
        "version",
    ]
    assert manifests.changes(old, old) == []
    assert manifests.changes(None, new) == []
