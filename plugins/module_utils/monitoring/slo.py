# SPDX-License-Identifier: Apache-2.0
"""An app's SLO as rules: an alert for each pace at which the error budget must not burn. Pure.

Multi-window, multi-burn-rate alerts, after The Site Reliability Workbook, chapter 5 (https://sre.google/workbook/alerting-on-slos/): a long window
tells that the burn matters, a short one that it still goes on. Rates of 5 minutes are recorded once, and everything else is a sum of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.monitoring.alert import PAGE, TICKET, Alert, Rule

INTERVAL = 60  # seconds between samples of what is recorded
SLOW = 120  # and of what covers a day or more
HOURS = {"5m": 1 / 12, "30m": 0.5, "1h": 1.0, "2h": 2.0, "6h": 6.0, "1d": 24.0, "3d": 72.0}


@dataclass(frozen=True)
class Burn:
    """``share`` of the window's whole budget within ``long``."""

    long: str
    short: str
    share: float
    severity: str

    def factor(self, window_days: float) -> float:
        """How many times as fast as just sustainable that is."""
        return self.share * window_days * 24 / HOURS[self.long]


# 14.4, 6, 3 and 1 times as fast, with 30 days.
BURNS = (
    Burn("1h", "5m", 0.02, PAGE),
    Burn("6h", "30m", 0.05, PAGE),
    Burn("1d", "2h", 0.10, TICKET),
    Burn("3d", "6h", 0.10, TICKET),
)


@dataclass(frozen=True)
class Objective:
    """``total`` and ``bad`` are the rates of all requests and of those that break the promise."""

    name: str
    budget: float  # the share that may
    total: str
    bad: str
    breaks: str  # how, for messages


def objectives(app: str, slo: Mapping[str, Any]) -> list[Objective]:
    """Return what the SLO promises."""
    found = []
    requests = f'sum by (app) (rate(sluice_edge_requests_total{{app="{app}"}}[5m]))'
    if slo["availability"] is not None:
        # Nothing failed is 0, not nothing.
        failed = f'(sum by (app) (rate(sluice_edge_requests_total{{app="{app}",code="5xx"}}[5m])) or {requests} * 0)'
        budget = round(1 - slo["availability"] / 100, 7)
        found.append(Objective("availability", budget, requests, failed, "failed"))
    for quantile, seconds in slo["latency"].items():
        family = "sluice_edge_request_duration_seconds"
        total = f'sum by (app) (rate({family}_count{{app="{app}"}}[5m]))'
        # A boundary of 1 may be written 1 or 1.0.
        bound = f"{seconds:g}" + ("(\\\\.0)?" if float(seconds).is_integer() else "")
        fast = f'sum by (app) (rate({family}_bucket{{app="{app}",le=~"{bound}"}}[5m]))'
        budget = round(1 - float(quantile[1:]) / 100, 7)
        name = f"latency_{quantile}"
        found.append(Objective(name, budget, total, f"clamp_min({total} - {fast}, 0)", f"took over {seconds:g} s"))
    return found


def groups(app: str, slo: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of recording rules of an app; alerts are those of ``alerts``."""
    fast: list[Rule] = []
    slow: list[Rule] = []
    for one in objectives(app, slo):
        own = _own(app, one)
        fast.append(_record("slo_requests:rate5m", one.total, app, one))
        fast.append(_record("slo_errors:rate5m", one.bad, app, one))
        for window, hours in HOURS.items():
            into = slow if hours >= 24 else fast
            into.append(_record(f"slo_error_ratio:rate{window}", _ratio(own, window), app, one))
        slow.append(
            _record("slo_error_budget_remaining:ratio", _remaining(own, one.budget, slo["window_days"]), app, one)
        )
    return [
        {"name": f"sluice-slo-{app}", "interval": f"{INTERVAL}s", "rules": fast},
        {"name": f"sluice-slo-{app}-days", "interval": f"{SLOW}s", "rules": slow},
    ]


def _own(app: str, one: Objective) -> str:
    return f'{{app="{app}",slo="{one.name}"}}'


def _record(name: str, expr: str, app: str, one: Objective) -> Rule:
    return {"record": f"sluice:{name}", "expr": expr, "labels": {"app": app, "slo": one.name}}


def _ratio(own: str, window: str) -> str:
    """The share of bad requests; no value without requests."""
    if window == "5m":
        return f"sluice:slo_errors:rate5m{own} / (sluice:slo_requests:rate5m{own} > 0)"
    return f"sum_over_time(sluice:slo_errors:rate5m{own}[{window}]) / (sum_over_time(sluice:slo_requests:rate5m{own}[{window}]) > 0)"


def _remaining(own: str, budget: float, days: int) -> str:
    """The share of the error budget that is left; what is not known yet of the window counts as so many good requests."""
    samples = days * 86400 // INTERVAL
    requests = f"(avg_over_time(sluice:slo_requests:rate5m{own}[{days}d]) > 0) * {samples}"
    return f"1 - sum_over_time(sluice:slo_errors:rate5m{own}[{days}d]) / ({requests} * {budget:.7g})"


def alerts(app: str, slo: Mapping[str, Any]) -> Iterator[Alert]:
    """Yield the alerts of an app.

    A pace that cannot be reached (more than all requests), or that lasts for the whole window, has none. Few requests prove nothing: ``min_errors``
    must have failed within the long window, so one of three requests at night wakes nobody. A probe from outside watches quiet apps.
    """
    for one in objectives(app, slo):
        own = _own(app, one)
        for burn in BURNS:
            factor = burn.factor(slo["window_days"])
            limit = factor * one.budget
            if factor < 1 or limit >= 1:
                continue
            yield Alert(
                "ErrorBudgetBurnsFast" if burn.severity == PAGE else "ErrorBudgetBurns",
                burn.severity,
                f"sluice:slo_error_ratio:rate{burn.long}{own} > {limit:.7g}"
                f" and sluice:slo_error_ratio:rate{burn.short}{own} > {limit:.7g}"
                f" and {_errors(own, burn.long)} >= {slo['min_errors']}",
                f"{app} burns its error budget of {one.name} {factor:.3g} times too fast",
                f"{{{{ $value | humanizePercentage }}}} of the requests of {app} {one.breaks} within {burn.long}; "
                f"{one.budget:.4%} are allowed over {slo['window_days']} days.",
                labels={"app": app, "slo": one.name, "window": burn.long},
            )
        days = f"{slo['window_days']}d"
        yield Alert(
            "ErrorBudgetSpent",
            TICKET,
            f"sluice:slo_error_budget_remaining:ratio{own} < 0 and {_errors(own, days)} >= {slo['min_errors']}",
            f"{app} has spent its error budget of {one.name}",
            f"The error budget of {app} for {one.name} over {days} is overdrawn; {{{{ $value | humanizePercentage }}}} of it remain.",
            labels={"app": app, "slo": one.name},
        )


def _errors(own: str, window: str) -> str:
    """How many requests failed: from samples that are there, so that a new Prometheus does not exaggerate."""
    return f"sum_over_time(sluice:slo_errors:rate5m{own}[{window}]) * {INTERVAL}"
