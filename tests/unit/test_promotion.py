# SPDX-License-Identifier: Apache-2.0
"""A release goes from one environment to the next with exactly its images."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.contract import promotion

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
REPORT = {
    "schema": 1,
    "action": "deploy",
    "app": "shop",
    "release": "20261128T041758Z-v1.1.0",
    "outcome": "live",
    "code": 0,
    "images": {"web": f"staging.example.com:5000/team/web@{DIGEST}"},
}


def contract(image: str = "registry.example.com/team/web:v1.1.0", **services: str) -> dict[str, Any]:
    images = {"web": image, **services}
    return {
        "app": "shop",
        "version": "v1.1.0",
        "services": {name: {"image": one, "port": 80} for name, one in images.items()},
    }


def test_its_version_and_its_images() -> None:
    found = promotion.read(REPORT)
    assert (found.app, found.version) == ("shop", "v1.1.0")
    assert promotion.pinned(contract(), found)["services"]["web"] == {
        "image": f"registry.example.com/team/web@{DIGEST}",
        "port": 80,
    }


@pytest.mark.parametrize(
    ("image", "promoted"),
    [
        (f"registry.example.com/team/web@{DIGEST}", f"registry.example.com/team/web@{DIGEST}"),
        ("localhost/team/web", f"localhost/team/web@{DIGEST}"),
        ("10.0.0.1:5000/team/web:latest", f"10.0.0.1:5000/team/web@{DIGEST}"),
        ("team/web:v1", f"team/web@{DIGEST}"),
    ],
)
def test_the_registry_is_this_environment_s(image: str, promoted: str) -> None:
    assert promotion.pinned(contract(image), promotion.read(REPORT))["services"]["web"]["image"] == promoted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "is no report of a deploy"),
        ({"action": "drill"}, "is no report of a deploy"),
        (
            {"outcome": "failed", "code": 3},
            "is of a deploy that ended as 'failed': only a live release can be promoted",
        ),
        ({"outcome": "planned"}, "is of a deploy that ended as 'planned'"),
        ({"outcome": "rolled back"}, "is of a deploy that ended as 'rolled back'"),
        ({"images": {}}, "names no release with images"),
        ({"release": "v1.1.0"}, "names no release with images"),
        ({"images": {"web": "registry/web:v1"}}, "names no digest for web"),
    ],
)
def test_what_was_not_proved(change: dict[str, Any], message: str) -> None:
    with pytest.raises(promotion.PromotionError, match=message):
        promotion.read({**REPORT, **change})


@pytest.mark.parametrize("report", [None, [], "text", {}])
def test_what_is_no_report(report: Any) -> None:
    with pytest.raises(promotion.PromotionError, match="is no report"):
        promotion.read(report)


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ({**contract(), "app": "till"}, "is of app 'shop', not 'till'"),
        (
            contract(worker="registry.example.com/team/worker:v1"),
            r"other services than this inventory: worker \(here alone\)",
        ),
        (contract("registry.example.com/other/web:v1"), "another image"),
        (contract(f"registry.example.com/team/web@{OTHER}"), f"has web at {DIGEST}, and this inventory pins {OTHER}"),
    ],
)
def test_what_does_not_fit_here(here: dict[str, Any], message: str) -> None:
    with pytest.raises(promotion.PromotionError, match=message):
        promotion.pinned(here, promotion.read(REPORT))
