# SPDX-License-Identifier: Apache-2.0
"""What the report of another environment proved: read from its file on the controller, and taken over into the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import promotion
from ansible_collections.sluice.stack.plugins.module_utils.contract.contract import ContractError


def read(path: str, version: str | None) -> promotion.Promotion:
    """Return what a report proved; ``version`` is the one asked for, which may be missing but not another. Raises ContractError."""
    try:
        with open(path, encoding="utf-8") as handle:
            found = promotion.read(json.load(handle))
    except OSError as error:
        raise ContractError([f"release_from is {path!r}: {error.strerror}"]) from None
    except ValueError:
        raise ContractError([f"release_from is {path!r}, which is no JSON"]) from None
    except promotion.PromotionError as error:
        raise ContractError([f"release_from: {path} {error}"]) from None
    if version not in (None, "", found.version):
        raise ContractError(
            [f"release_from: {path} is of version {found.version}, and app_version is {version!r}: leave that out"]
        )
    return found


def with_images(resolved: Mapping[str, Any], promoted: promotion.Promotion, path: str) -> dict[str, Any]:
    """Return the contract with the images that were promoted. Raises ContractError."""
    try:
        return promotion.pinned(resolved, promoted)
    except promotion.PromotionError as error:
        raise ContractError([f"release_from: {path} {error}"]) from None
