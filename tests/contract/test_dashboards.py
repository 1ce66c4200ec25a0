# SPDX-License-Identifier: Apache-2.0
"""The panels ask Prometheus what it can be asked, for figures that there are; the page and Grafana show the same ones."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.sluice.stack.plugins.filter import dashboard
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import dashboards, rules
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.panels import DASHBOARDS, Panel

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "roles" / "dashboard" / "files"
EVERY = [(board.name, panel) for board in DASHBOARDS for panel in board.panels]
# What Debian's exporters call their figures: seen at node exporter 1.9, postgres exporter 0.17, redis exporter 1.67 and blackbox exporter 0.26.
EXPORTERS = {
    *(
        "ALERTS",
        "up",
        "probe_success",
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_memory_MemTotal_bytes",
    ),
    *("node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_network_receive_bytes_total"),
    *(
        "pg_up",
        "pg_stat_activity_count",
        "pg_stat_activity_max_tx_duration",
        "pg_settings_max_connections",
        "pg_replication_lag_seconds",
    ),
    *("pg_locks_count", "pg_stat_database_xact_commit", "pg_stat_database_xact_rollback", "pg_stat_database_blks_hit"),
    *("pg_stat_database_blks_read", "pg_stat_database_deadlocks", "pg_database_size_bytes"),
    *("redis_up", "redis_memory_used_bytes", "redis_commands_processed_total"),
}
# Sluice's own, and their labels; docs/dashboards.md has where they are shown.
OWN = {
    "sluice_edge_requests_total": "app service route slot release code",
    "sluice_edge_request_duration_seconds_bucket": "app service route slot release le",
    "sluice_container_cpu_seconds_total": "app service slot release replica",
    "sluice_container_memory_bytes": "app service slot release replica",
    "sluice_container_restarts_total": "app service slot release replica",
    "sluice_container_running": "app service slot release replica",
    "sluice_container_healthy": "app service slot release replica",
    "sluice_release_live": "app release version slot",
    "sluice_release_split_percent": "app slot",
    "sluice_release_confirmed_timestamp_seconds": "app",
    "sluice_lease_held": "app",
    "sluice_maintenance": "app",
    "sluice_backup_last_success_timestamp_seconds": "engine name",
    "sluice_drill_last_timestamp_seconds": "engine name",
    "sluice_wal_archive_lag_seconds": "engine name",
    "sluice_certificate_not_after_timestamp_seconds": "name",
    "sluice_reboot_required": "",
    "sluice_pending_security_upgrades": "",
}
WORDS = {
    "sum",
    "by",
    "rate",
    "count",
    "or",
    "and",
    "vector",
    "avg",
    "max",
    "min",
    "time",
    "histogram_quantile",
    "increase",
    "changes",
}


def recorded() -> set[str]:
    """The series that rules make of an SLO."""
    documents = rules.rules({"slos": {"shop": {"availability": 99.9, "latency": {"p99": 0.5}}}})
    return {
        rule["record"]
        for one in documents.values()
        for group in one["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def names(expr: str) -> set[str]:
    """The series that a query names."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)', " ", expr)
    return set(re.findall(r"[a-zA-Z_][\w:]*", bare)) - WORDS


def labels(expr: str) -> set[str]:
    """The labels that a query groups by or selects, but for those of every target."""
    found = {name.strip() for group in re.findall(r"by \(([^)]*)\)", expr) for name in group.split(",")}
    return found - {"instance", "environment", "job"}


def queries() -> Iterator[tuple[str, str]]:
    for board, panel in EVERY:
        for expr in dashboards.example(panel):
            yield f"{board}: {panel.title}", expr


def test_every_figure_of_a_panel_is_there() -> None:
    known = EXPORTERS | set(OWN) | recorded()
    unknown = {title: missing for title, expr in queries() if (missing := names(expr) - known)}
    assert not unknown
    assert names("sum by (app) (rate(sluice_edge_request_total[5m]))") - known == {"sluice_edge_request_total"}, (
        "the control"
    )


def test_a_panel_groups_by_labels_that_its_figures_have() -> None:
    for title, expr in queries():
        for name in names(expr) & set(OWN):
            if len(names(expr)) == 1:
                assert labels(expr) <= set(OWN[name].split()), title


def test_a_legend_and_a_column_are_labels_that_the_query_leaves() -> None:
    for board, panel in EVERY:
        for query in panel.queries:
            wanted = {*re.findall(r"\{\{(\w+)\}\}", query.legend), *panel.columns}
            grouped = re.findall(r"by \(([^)]*)\)", query.expr)
            if grouped:
                left = {name.strip() for name in grouped[0].split(",")}
                assert wanted <= left, f"{board}: {panel.title}"


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "scripts" / "prometheus-tools"], capture_output=True, text=True, check=True)
    promtool = Path(done.stdout.strip()) / "promtool"

    def read(*exprs: str) -> subprocess.CompletedProcess[str]:
        made = [{"record": f"panel:number{place}", "expr": expr} for place, expr in enumerate(exprs)]
        path = tmp_path / "rules.yml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": made}]}), encoding="utf-8")
        return subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)

    found = [expr for _title, expr in queries()]
    done = read(
        *found, *(dashboards.filled(query.expr, "a|b", "1h") for _board, panel in EVERY for query in panel.queries)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(found)} rules found" in done.stdout
    assert read("sum by (app (up)").returncode, "the control"


def test_no_placeholder_is_left_or_misspelt() -> None:
    assert not [expr for _title, expr in queries() if "$" in expr]


def grafana_panels() -> list[tuple[str, dict[str, Any]]]:
    return [(name, panel) for name, board in dashboards.grafana().items() for panel in board["panels"]]


def test_grafana_shows_what_the_page_shows() -> None:
    page = json.loads(json.dumps(dashboards.page()))["dashboards"]
    assert [one["name"] for one in page] == ["fleet", "app", "database", "deploys", "slo"]
    for one in page:
        board = dashboards.grafana()[f"sluice-{one['name']}"]
        assert [panel["title"] for panel in board["panels"]] == [panel["title"] for panel in one["panels"]]
        shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
        asked = [
            query["expr"].replace("$rate", "$__rate_interval") for panel in one["panels"] for query in panel["queries"]
        ]
        assert shown == asked


def test_panels_of_grafana_do_not_overlap_and_have_numbers() -> None:
    for name, board in dashboards.grafana().items():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken and max(x for x, _y in cells) < 24, f"{name}: {panel['title']}"
            taken |= cells
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        assert board["uid"] == name and len(name) <= 40


def test_a_dashboard_asks_for_an_app_where_a_query_does() -> None:
    for name, board in dashboards.grafana().items():
        variables = {one["name"] for one in board["templating"]["list"]}
        used = any("$app" in target["expr"] for panel in board["panels"] for target in panel["targets"])
        assert variables == ({"source", "app"} if used else {"source"}), name


def test_colours_rise_with_the_value_or_fall_where_little_is_bad() -> None:
    for _board, panel in EVERY:
        if panel.warn is not None and panel.bad is not None:
            assert (panel.warn > panel.bad) == panel.low, panel.title
    low = Panel("x", "stat", "none", (), warn=10, bad=5, low=True)
    steps = [(step["value"], step["color"]) for step in dashboards._thresholds(low)["steps"]]
    assert steps == [(None, "red"), (5, "orange"), (10, "green")]


def test_the_page_is_all_there_and_has_no_script_or_address_of_others() -> None:
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    for name in re.findall(r'(?:src|href)="([^"]+)"', index):
        assert (PAGE / name).is_file(), name
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|style=", index)
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import|url\(", text), path.name
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    # A label is text that others wrote: it never becomes HTML or code.
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


def test_the_files_of_the_role_are_json() -> None:
    made = {one["path"]: json.loads(one["content"]) for one in dashboard.dashboard_files("/x")}
    assert set(made) == {"/x/panels.json", *(f"/x/grafana/sluice-{board.name}.json" for board in DASHBOARDS)}


def test_a_password_is_a_hash_and_the_same_one_each_time() -> None:
    made = dashboard.dashboard_passwords({"bob": "correct horse battery", "anna": "correct horse battery"})
    assert made == dashboard.dashboard_passwords({"anna": "correct horse battery", "bob": "correct horse battery"})
    anna, bob = made.splitlines()
    assert anna.startswith("anna:$2b$05$") and bob.startswith("bob:$2b$05$") and anna[5:] != bob[4:]
    assert "correct" not in made
