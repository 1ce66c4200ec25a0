# SPDX-License-Identifier: Apache-2.0
"""The panels for who shows them: the monitoring page, and Grafana. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.monitoring.panels import DASHBOARDS, Dashboard, Panel

# Of Grafana's model: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
SCHEMA = 39
COLUMNS = 24
SIZES = {"stat": (4, 4), "lines": (12, 8), "table": (12, 8)}  # width and height
SOURCE = {"type": "prometheus", "uid": "${source}"}
RANGE = "$__rate_interval"


def page() -> dict[str, Any]:
    """What the page shows."""
    return {"dashboards": [asdict(one) for one in DASHBOARDS]}


def grafana() -> dict[str, dict[str, Any]]:
    """Name → dashboard, as Grafana imports it."""
    return {f"sluice-{one.name}": _dashboard(one) for one in DASHBOARDS}


def _dashboard(board: Dashboard) -> dict[str, Any]:
    by_app = any("$app" in query.expr for panel in board.panels for query in panel.queries)
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    app = {
        "name": "app",
        "label": "App",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(sluice_release_live, app)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": f"sluice-{board.name}",
        "title": f"Sluice: {board.title}",
        "tags": ["sluice"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source, *([app] if by_app else [])]},
        "links": [{"type": "dashboards", "title": "Sluice", "tags": ["sluice"], "asDropdown": True, "keepTime": True}],
        "panels": list(_placed(board.panels)),
    }


def _placed(panels: Iterable[Panel]) -> Iterable[dict[str, Any]]:
    """Give each panel its place, row by row."""
    x = y = tall = 0
    for number, panel in enumerate(panels, start=1):
        width, height = SIZES[panel.kind]
        width = COLUMNS if panel.wide else width
        if x + width > COLUMNS or (x and height != tall):
            x, y = 0, y + tall
        tall = height
        yield {"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **_panel(panel)}
        x += width


def _panel(panel: Panel) -> dict[str, Any]:
    kind = {"stat": "stat", "lines": "timeseries", "table": "table"}[panel.kind]
    made: dict[str, Any] = {
        "type": kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "targets": [_target(panel, place, query.expr, query.legend) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": {"unit": panel.unit, "thresholds": _thresholds(panel)}, "overrides": []},
    }
    if panel.kind == "lines":
        made["options"] = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}}
        made["fieldConfig"]["defaults"]["min"] = 0
        made["fieldConfig"]["defaults"]["custom"] = {"fillOpacity": 5, "lineWidth": 2, "showPoints": "never"}
        if panel.low or panel.title.startswith("Error budget"):
            del made["fieldConfig"]["defaults"]["min"]
    elif panel.kind == "stat":
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"}
    else:
        kept = {name: place for place, name in enumerate((*panel.columns, *(("Value",) if panel.value else ())))}
        made["transformations"] = [
            {"id": "filterFieldsByName", "options": {"include": {"names": list(kept)}}},
            {"id": "organize", "options": {"indexByName": kept, "renameByName": {"Value": panel.value}}},
        ]
    return made


def _target(panel: Panel, place: int, expr: str, legend: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "refId": chr(ord("A") + place),
        "datasource": SOURCE,
        "expr": expr.replace("$rate", RANGE),
        "legendFormat": legend or "__auto",
    }
    if panel.kind != "lines":
        made["instant"] = True
    if panel.kind == "table":
        made["format"] = "table"
    return made


def _thresholds(panel: Panel) -> dict[str, Any]:
    """Grafana's steps: each colour from its value upwards."""
    steps: list[tuple[float | None, str]] = [(None, "green")]
    if panel.low and panel.bad is not None and panel.warn is not None:
        steps = [(None, "red"), (panel.bad, "orange"), (panel.warn, "green")]
    else:
        steps += [(panel.warn, "orange")] if panel.warn is not None else []
        steps += [(panel.bad, "red")] if panel.bad is not None else []
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}


def example(panel: Panel) -> list[str]:
    """The queries with their placeholders filled in, as Prometheus may be asked them."""
    return [filled(query.expr) for query in panel.queries]


def filled(expr: str, app: str = ".+", rate: str = "5m") -> str:
    """A query for apps and a range."""
    return expr.replace("$app", app).replace("$rate", rate)
