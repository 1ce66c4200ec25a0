# SPDX-License-Identifier: Apache-2.0
"""Promote a release from one environment to the next: exactly the images that its report names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import version_in

PINNED = re.compile(r"(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")


class PromotionError(Exception):
    """The report does not name a release that can be promoted; the message says why."""


@dataclass(frozen=True)
class Promotion:
    """A release that another environment proved: its app, version, and the image of each service by digest."""

    app: str
    version: str
    images: Mapping[str, str]


def read(report: Any) -> Promotion:
    """Return what a report of a deploy, as the callback C(report) writes it, proved. Raises PromotionError."""
    if (
        not isinstance(report, Mapping)
        or report.get("schema") != 1
        or report.get("action") not in ("deploy", "rollback")
    ):
        raise PromotionError("is no report of a deploy, as reports/*.json of the callback sluice.stack.report are")
    if report.get("code") != 0 or report.get("outcome") not in ("live", "done"):
        raise PromotionError(
            f"is of a {report['action']} that ended as {report.get('outcome')!r}: only a live release can be promoted"
        )
    images = report.get("images")
    version = version_in(str(report.get("release", "")))
    if not version or not isinstance(images, Mapping) or not images:
        raise PromotionError("names no release with images: deploy it there with this version of the collection")
    wrong = [name for name, image in images.items() if not PINNED.fullmatch(str(image))]
    if wrong:
        raise PromotionError(f"names no digest for {', '.join(sorted(wrong))}")
    return Promotion(str(report.get("app", "")), version, {str(name): str(image) for name, image in images.items()})


def pinned(contract: Mapping[str, Any], promotion: Promotion) -> dict[str, Any]:
    """Return the resolved contract with the promotion's images, each from this environment's registry. Raises PromotionError."""
    services, images = contract["services"], promotion.images
    if promotion.app != contract["app"]:
        raise PromotionError(f"is of app {promotion.app!r}, not {contract['app']!r}")
    different = sorted({*services} ^ {*images})
    if different:
        there = [name for name in different if name in images]
        raise PromotionError(
            f"has other services than this inventory: {', '.join(different)} ({'there' if there else 'here'} alone)"
        )
    return {
        **contract,
        "services": {
            name: {**service, "image": _pinned(name, str(service["image"]), images[name])}
            for name, service in services.items()
        },
    }


def _pinned(service: str, here: str, there: str) -> str:
    """Return this environment's repository with the proved digest. Registries may differ, repositories must not."""
    digest = there.partition("@")[2]
    repository = _untagged(here)
    if _path(repository) != _path(_untagged(there)):
        raise PromotionError(f"has {_untagged(there)} as {service}, and this inventory {repository}: another image")
    if "@" in here and not here.endswith(digest):
        raise PromotionError(f"has {service} at {digest}, and this inventory pins {here.partition('@')[2]}")
    return f"{repository}@{digest}"


def _untagged(image: str) -> str:
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


def _path(repository: str) -> str:
    """The repository without its registry."""
    first, slash, rest = repository.partition("/")
    return rest if slash and (first == "localhost" or any(char in first for char in ".:")) else repository
