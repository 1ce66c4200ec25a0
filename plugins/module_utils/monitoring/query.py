# SPDX-License-Identifier: Apache-2.0
"""Questions to the Prometheus of this host: https://prometheus.io/docs/prometheus/latest/querying/api/."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ansible_collections.sluice.stack.plugins.module_utils import plain_http

Row = dict[str, Any]  # metric: the labels; value


class QueryError(Exception):
    """There is no answer; the message says why and what to do."""


def ask(port: int, query: str, moment: float | None, timeout: float) -> list[Row]:
    """Return the series that a query gives. Raises QueryError."""
    asked = {"query": query, "timeout": f"{timeout:g}s"} | ({} if moment is None else {"time": f"{moment:.3f}"})
    try:
        answer = plain_http.request(
            ("127.0.0.1", port), "GET", f"/api/v1/query?{urlencode(asked)}", timeout=timeout + 1
        )
    except plain_http.NoAnswer as error:
        raise QueryError(
            f"Prometheus does not answer on 127.0.0.1:{port} ({error}): see journalctl -u prometheus on this host, or run provision.yml"
        ) from error
    data = answer.data()
    if not isinstance(data, Mapping) or data.get("status") != "success":
        why = data.get("error") if isinstance(data, Mapping) else answer.beginning()
        raise QueryError(f"Prometheus refuses {query!r} with status {answer.status}: {why}")
    return rows(data["data"])


def rows(data: Mapping[str, Any]) -> list[Row]:
    """Return the series of an answer's data. Raises QueryError for one with more than one value each."""
    if data["resultType"] == "scalar":
        return [{"metric": {}, "value": value(data["result"])}]
    if data["resultType"] != "vector":
        raise QueryError(
            f"the query gives a {data['resultType']} instead of one value for each series: use a function over it"
        )
    return [{"metric": dict(item["metric"]), "value": value(item["value"])} for item in data["result"]]


def value(pair: Any) -> float | None:
    """Return the number of a time and a value; None for NaN and infinities, which JSON does not have."""
    found = float(pair[1])
    return found if math.isfinite(found) else None
