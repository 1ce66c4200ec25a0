# SPDX-License-Identifier: Apache-2.0
"""Ask a Prometheus what fires and burns: https://prometheus.io/docs/prometheus/latest/querying/api/."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

LOCAL = "http://127.0.0.1:9090"
SECONDS = 10
LARGEST = 50 * 2**20
PAUSE = 15.0  # between two looks at a burning budget

Answer = dict[str, Any]
# What an answer that is none may raise, in the hands of who does not trust it.
Failures = (OSError, ValueError, KeyError, TypeError, AttributeError)


def asked(url: str, path: str, **parameters: str) -> Mapping[str, Any]:
    """Return the data of an answer. Raises one of Failures."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    # The contract lets http and https: contract/gates.py.
    with urllib.request.build_opener().open(f"{url.rstrip('/')}/api/v1/{path}{query}", timeout=SECONDS) as answer:
        return dict(json.loads(answer.read(LARGEST))["data"])


def plain(text: Any, most: int = 160) -> str:
    """Text that may be printed: one line, shortened."""
    return "".join(char if char.isprintable() else " " for char in str(text))[:most]


def alerts(url: str) -> Answer:
    """Return the alerting ``rules`` and what is ``firing``, or an ``error``."""
    try:
        groups = asked(url, "rules", type="alert")["groups"]
        rules = [rule for group in groups for rule in group["rules"] if rule["type"] == "alerting"]
        return {
            "rules": [{"name": plain(rule["name"], 60), "health": rule["health"]} for rule in rules],
            "firing": [
                {"name": plain(rule["name"], 60), "severity": alert["labels"].get("severity", "")}
                for rule in rules
                for alert in rule["alerts"]
                if alert["state"] == "firing"
            ],
        }
    except Failures as error:
        return {"error": plain(f"no answer of Prometheus's ({error})")}


def budgets(url: str, app: str) -> Answer:
    """Return what is ``left`` of an app's error budgets, by SLO, and which are ``burning`` too fast, or an ``error``."""
    try:
        left = _values(url, f'sluice:slo_error_budget_remaining:ratio{{app="{app}"}}')
        burning = _values(url, f'ALERTS{{alertname="ErrorBudgetBurnsFast",alertstate="firing",app="{app}"}}')
        return {"left": left, "burning": sorted(burning)}
    except Failures as error:
        return {"error": plain(f"no answer of Prometheus's ({error})")}


def settled(url: str, app: str, wait: float) -> Answer:
    """Return the budgets once none burns too fast, or as they are after ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while True:
        found = budgets(url, app)
        left = deadline - time.monotonic()
        if not found.get("burning") or left <= 0:
            return found
        time.sleep(min(PAUSE, left))


def _values(url: str, query: str) -> dict[str, float]:
    """SLO → value of a query."""
    result = asked(url, "query", query=query)["result"]
    return {plain(one["metric"]["slo"], 40): float(one["value"][1]) for one in result}
