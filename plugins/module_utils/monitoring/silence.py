# SPDX-License-Identifier: Apache-2.0
"""Silences of Alertmanager, each by a name of ours: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Silence = Mapping[str, Any]


def body(
    name: str, matchers: Sequence[Mapping[str, Any]], now: float, seconds: float, comment: str, author: str
) -> dict[str, Any]:
    """Return the request for a silence that ends by itself. A matcher has C(name), C(value), and C(equal), false for "not"."""
    return {
        "matchers": [
            {"name": one["name"], "value": one["value"], "isRegex": False, "isEqual": bool(one.get("equal", True))}
            for one in matchers
        ],
        "startsAt": _written(now),
        "endsAt": _written(now + seconds),
        "createdBy": author,
        "comment": f"{name}: {comment}",
    }


def own(found: Sequence[Silence], name: str) -> list[Silence]:
    """Return the silences of a name that have not ended."""
    return [one for one in found if one["status"]["state"] != "expired" and str(one["comment"]).startswith(f"{name}: ")]


def lasts(one: Silence, wanted: Mapping[str, Any]) -> bool:
    """Whether a silence holds back the same, for at least as long."""
    return _matchers(one) == _matchers(wanted) and _read(one["endsAt"]) >= _read(wanted["endsAt"])


def _matchers(one: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return sorted((it["name"], it["value"], it["isRegex"], it.get("isEqual", True)) for it in one["matchers"])


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _read(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
