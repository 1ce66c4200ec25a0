# SPDX-License-Identifier: Apache-2.0
"""All rules of Prometheus: the fleet's alerts, and each app's from its SLO. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.contract import slo as slos
from ansible_collections.sluice.stack.plugins.module_utils.contract.schema import Problems, shown
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import slo
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.alert import RUNBOOKS, SEVERITIES, Alert
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.fleet import GROUPS
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean

Documents = dict[str, dict[str, Any]]

SLO_ALERTS = ("ErrorBudgetBurnsFast", "ErrorBudgetBurns", "ErrorBudgetSpent")
OPTIONS = ("enabled", "severity", "for", "threshold")
_TIME = r"(\d+d)?(\d+h)?(\d+m)?(\d+s)?"


def names() -> list[str]:
    """Every alert that there is."""
    return [*(one.name for group in GROUPS.values() for one in group), *SLO_ALERTS]


def problems(settings: Mapping[str, Any]) -> list[str]:
    """Return a line for each fault of the ``settings`` of rules()."""
    found = Problems()
    for app, given in (settings.get("slos") or {}).items():
        slos.SLO.read(given, f"app_slo of {app}", found)
    known = {one.name: one for group in GROUPS.values() for one in group}
    for name, options in (settings.get("alerts") or {}).items():
        path = f"monitoring_alerts.{name}"
        if name not in names():
            found.add(path, f"is not an alert: {did_you_mean(str(name), names())}", options)
        elif not isinstance(options, Mapping):
            found.add(path, f"must be a map like {{enabled: false}}, not {shown(options)}", options)
        else:
            _check(path, known.get(name), options, found)
    return found.lines


def _check(path: str, alert: Alert | None, options: Mapping[str, Any], found: Problems) -> None:
    for key, value in options.items():
        where = f"{path}.{key}"
        if key not in OPTIONS:
            found.add(where, f"is not known: {did_you_mean(str(key), OPTIONS)}", value)
        elif key == "enabled" and not isinstance(value, bool):
            found.add(where, f"must be true or false, not {shown(value)}", value)
        elif key == "severity" and value not in SEVERITIES:
            found.add(where, f"is {shown(value)}: it must be page or ticket", value)
        elif key == "for" and not (str(value) and re.fullmatch(_TIME, str(value))):
            found.add(where, f"is {shown(value)}: it must be a time like '90s', '10m' or '1h30m'", value)
        elif key == "threshold" and (isinstance(value, bool) or not isinstance(value, int | float)):
            found.add(where, f"must be a number, not {shown(value)}", value)
        elif key == "threshold" and (alert is None or alert.threshold is None):
            found.add(where, "cannot be set: this alert has none", value)


def rules(settings: Mapping[str, Any]) -> Documents:
    """Return name → document, for /etc/prometheus/rules/NAME.yml.

    ``settings``: ``slos`` maps an app to its app_slo; ``alerts`` an alert's name to what differs for it: ``enabled``, ``severity``, ``for``,
    ``threshold``; ``runbooks`` is the address of the page with an entry for each. They must have no ``problems``.
    """
    options = settings.get("alerts") or {}
    runbooks = settings.get("runbooks") or RUNBOOKS
    groups = []
    for group, alerts in GROUPS.items():
        chosen = [one for alert in alerts if (one := _adjusted(alert, options.get(alert.name) or {}))]
        if chosen:
            groups.append({"name": f"sluice-{group}", "rules": [one.rule(runbooks) for one in chosen]})
    found: Documents = {"sluice-fleet": {"groups": groups}}
    for app, given in sorted((settings.get("slos") or {}).items()):
        if not given:
            continue
        promised = slos.SLO.read(given, "app_slo", Problems())
        alerts = tuple(
            one for alert in slo.alerts(app, promised) if (one := _adjusted(alert, options.get(alert.name) or {}))
        )
        groups = slo.groups(app, promised)
        if alerts:
            groups.append(
                {
                    "name": f"sluice-slo-{app}-alerts",
                    "interval": f"{slo.INTERVAL}s",
                    "rules": [one.rule(runbooks) for one in alerts],
                }
            )
        found[f"sluice-slo-{app}"] = {"groups": groups}
    return found


def _adjusted(alert: Alert, options: Mapping[str, Any]) -> Alert | None:
    if not options.get("enabled", True):
        return None
    return replace(
        alert,
        severity=options.get("severity", alert.severity),
        hold=str(options.get("for", alert.hold)),
        threshold=options.get("threshold", alert.threshold),
    )
