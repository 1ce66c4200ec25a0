# SPDX-License-Identifier: Apache-2.0
"""What the dashboards show, once, as data: the page's list and Grafana's dashboards are made of it. Pure.

``$app`` stands for a regular expression of apps, ``$rate`` for a range that has several samples at any width of the plot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# How a value is written: Grafana's names of units.
PER_CENT, PER_SECOND, SECONDS, BYTES, BYTES_PER_SECOND, COUNT = "percent", "reqps", "s", "bytes", "Bps", "none"


@dataclass(frozen=True)
class Query:
    """``legend`` names a series by its labels, as ``{{instance}}``."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """``kind``: ``stat`` is one number now, ``lines`` are plots over time, ``table`` is what is now, a row for each series.

    ``warn`` and ``bad`` are values from which a number is worth a look or wrong; ``low`` turns them around. ``columns`` are a table's labels, and
    ``value`` the heading of its value, none where only the labels matter.
    """

    title: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    warn: float | None = None
    bad: float | None = None
    low: bool = False
    columns: tuple[str, ...] = ()
    value: str = ""
    wide: bool = False
    about: str = ""


@dataclass(frozen=True)
class Dashboard:
    """A page of panels."""

    name: str
    title: str
    panels: tuple[Panel, ...] = field(default_factory=tuple)


def _stat(title: str, expr: str, unit: str = COUNT, **more: object) -> Panel:
    return Panel(title, "stat", unit, (Query(expr),), **more)  # type: ignore[arg-type]


def _lines(title: str, unit: str, *queries: tuple[str, str], **more: object) -> Panel:
    return Panel(title, "lines", unit, tuple(Query(*one) for one in queries), **more)  # type: ignore[arg-type]


def _table(title: str, expr: str, columns: str, value: str = "", unit: str = COUNT, **more: object) -> Panel:
    return Panel(title, "table", unit, (Query(expr),), columns=tuple(columns.split()), value=value, **more)  # type: ignore[arg-type]


# File systems that hold data, as the alerts see them.
_DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs|fuse.*",mountpoint!~"/run.*|/var/lib/docker/.+"'
_REQUESTS = 'sluice_edge_requests_total{app=~"$app"}'
_FAILED = 'sluice_edge_requests_total{app=~"$app",code="5xx"}'
_LATENCY = "sluice_edge_request_duration_seconds_bucket"


def _failed_share(by: str) -> str:
    """The share of requests with a 5xx status; 0 where none failed."""
    total = f"sum by ({by}) (rate({_REQUESTS}[$rate]))"
    return f"100 * (sum by ({by}) (rate({_FAILED}[$rate])) or {total} * 0) / ({total} > 0)"


def _latency(quantile: float, by: str) -> str:
    return f'histogram_quantile({quantile}, sum by (le, {by}) (rate({_LATENCY}{{app=~"$app"}}[$rate])))'


FLEET = Dashboard(
    "fleet",
    "Fleet",
    (
        _stat("Hosts up", 'sum(up{job="node"})', about="whose exporter answers"),
        _stat("Hosts down", 'count(up{job="node"} == 0) or vector(0)', bad=1),
        _stat("Alerts firing", 'count(ALERTS{alertstate="firing",alertname!="Watchdog"}) or vector(0)', warn=1, bad=5),
        _stat("Hosts that need a reboot", "sum(sluice_reboot_required) or vector(0)", warn=1),
        _stat("Security upgrades to install", "sum(sluice_pending_security_upgrades) or vector(0)", warn=1),
        _stat(
            "Shortest certificate",
            "min(sluice_certificate_not_after_timestamp_seconds) - time()",
            SECONDS,
            warn=21 * 86400,
            bad=14 * 86400,
            low=True,
        ),
        _table(
            "Alerts firing",
            'ALERTS{alertstate="firing",alertname!="Watchdog"}',
            "severity alertname app instance service slo name",
            wide=True,
        ),
        _lines(
            "Processor",
            PER_CENT,
            ('100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$rate])))', "{{instance}}"),
        ),
        _lines(
            "Memory in use",
            PER_CENT,
            ("100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)", "{{instance}}"),
        ),
        _lines(
            "Disk in use",
            PER_CENT,
            (
                f"100 * (1 - node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes{{{_DISKS}}})",
                "{{instance}} {{mountpoint}}",
            ),
        ),
        _lines(
            "Network, received",
            BYTES_PER_SECOND,
            (
                'sum by (instance) (rate(node_network_receive_bytes_total{device!~"lo|veth.*|br-.*|docker.*"}[$rate]))',
                "{{instance}}",
            ),
        ),
        _table(
            "Backups",
            "time() - sluice_backup_last_success_timestamp_seconds",
            "instance engine name",
            "age",
            SECONDS,
            warn=26 * 3600,
            bad=50 * 3600,
        ),
        _table(
            "Restore drills",
            "time() - sluice_drill_last_timestamp_seconds",
            "instance engine name",
            "age",
            SECONDS,
            warn=8 * 86400,
            bad=15 * 86400,
        ),
        _table(
            "Certificates",
            "sluice_certificate_not_after_timestamp_seconds - time()",
            "instance name",
            "left",
            SECONDS,
            warn=21 * 86400,
            bad=14 * 86400,
            low=True,
        ),
    ),
)

APP = Dashboard(
    "app",
    "App",
    (
        _stat("Requests a second", f"sum(rate({_REQUESTS}[$rate])) or vector(0)", PER_SECOND),
        _stat(
            "Failed",
            f"100 * (sum(rate({_FAILED}[$rate])) or vector(0)) / (sum(rate({_REQUESTS}[$rate])) > 0)",
            PER_CENT,
            warn=0.1,
            bad=1,
            about="share of requests with a 5xx status",
        ),
        _stat(
            "Latency, 99 %", f'histogram_quantile(0.99, sum by (le) (rate({_LATENCY}{{app=~"$app"}}[$rate])))', SECONDS
        ),
        _stat(
            "Containers not healthy",
            'count((sluice_container_healthy{app=~"$app"} == 0) and (sluice_container_running{app=~"$app"} == 1)) or vector(0)',
            bad=1,
        ),
        _stat(
            "Restarts within the hour",
            'sum(increase(sluice_container_restarts_total{app=~"$app"}[1h])) or vector(0)',
            warn=1,
            bad=5,
        ),
        _stat("Routes down, from outside", 'count(probe_success{app=~"$app"} == 0) or vector(0)', bad=1),
        _lines(
            "Requests by service",
            PER_SECOND,
            (f"sum by (app, service) (rate({_REQUESTS}[$rate]))", "{{app}} {{service}}"),
        ),
        _lines("Requests by status", PER_SECOND, (f"sum by (code) (rate({_REQUESTS}[$rate]))", "{{code}}")),
        _lines(
            "Requests by release",
            PER_SECOND,
            (f"sum by (slot, release) (rate({_REQUESTS}[$rate]))", "{{slot}} {{release}}"),
        ),
        _lines("Failed by release", PER_CENT, (_failed_share("slot, release"), "{{slot}} {{release}}")),
        _lines("Latency by release, 99 %", SECONDS, (_latency(0.99, "slot, release"), "{{slot}} {{release}}")),
        _lines("Latency by release, 50 %", SECONDS, (_latency(0.5, "slot, release"), "{{slot}} {{release}}")),
        _lines("Latency by route, 99 %", SECONDS, (_latency(0.99, "route"), "{{route}}")),
        _lines("Failed by route", PER_CENT, (_failed_share("route"), "{{route}}")),
        _lines(
            "Processor of containers",
            PER_CENT,
            (
                '100 * sum by (instance, service, slot) (rate(sluice_container_cpu_seconds_total{app=~"$app"}[$rate]))',
                "{{instance}} {{service}} {{slot}}",
            ),
        ),
        _lines(
            "Memory of containers",
            BYTES,
            (
                'sum by (instance, service, slot) (sluice_container_memory_bytes{app=~"$app"})',
                "{{instance}} {{service}} {{slot}}",
            ),
        ),
    ),
)

DATABASE = Dashboard(
    "database",
    "Database",
    (
        _stat("Databases down", "count(pg_up == 0) or vector(0)", bad=1),
        _stat(
            "Connections in use",
            "max(100 * sum by (instance) (pg_stat_activity_count) / sum by (instance) (pg_settings_max_connections))",
            PER_CENT,
            warn=70,
            bad=90,
        ),
        _stat("WAL not archived", "max(sluice_wal_archive_lag_seconds)", SECONDS, warn=120, bad=600),
        _stat("Standby lag", "max(pg_replication_lag_seconds)", SECONDS, warn=10, bad=60),
        _stat(
            "Oldest backup",
            "max(time() - sluice_backup_last_success_timestamp_seconds)",
            SECONDS,
            warn=26 * 3600,
            bad=50 * 3600,
        ),
        _stat("Redis down", "count(redis_up == 0) or vector(0)", bad=1),
        _lines(
            "Connections by state",
            COUNT,
            ("sum by (instance, state) (pg_stat_activity_count)", "{{instance}} {{state}}"),
        ),
        _lines(
            "Transactions",
            PER_SECOND,
            (
                'sum by (instance) (rate(pg_stat_database_xact_commit{datname!~"template.*"}[$rate]))',
                "{{instance}} committed",
            ),
            (
                'sum by (instance) (rate(pg_stat_database_xact_rollback{datname!~"template.*"}[$rate]))',
                "{{instance}} rolled back",
            ),
        ),
        _lines(
            "Blocks found in memory",
            PER_CENT,
            (
                "100 * sum by (instance) (rate(pg_stat_database_blks_hit[$rate]))"
                " / (sum by (instance) (rate(pg_stat_database_blks_hit[$rate]) + rate(pg_stat_database_blks_read[$rate])) > 0)",
                "{{instance}}",
            ),
        ),
        _lines("Size", BYTES, ('pg_database_size_bytes{datname!~"template.*|postgres"}', "{{instance}} {{datname}}")),
        _lines(
            "Longest transaction", SECONDS, ("max by (instance) (pg_stat_activity_max_tx_duration)", "{{instance}}")
        ),
        _lines("Locks", COUNT, ("sum by (instance, mode) (pg_locks_count) > 0", "{{instance}} {{mode}}")),
        _lines(
            "Deadlocks", PER_SECOND, ("sum by (instance) (rate(pg_stat_database_deadlocks[$rate]))", "{{instance}}")
        ),
        _lines("Redis, memory", BYTES, ("redis_memory_used_bytes", "{{instance}}")),
        _lines(
            "Redis, commands",
            PER_SECOND,
            ("sum by (instance) (rate(redis_commands_processed_total[$rate]))", "{{instance}}"),
        ),
    ),
)

DEPLOYS = Dashboard(
    "deploys",
    "Deploys",
    (
        _stat(
            "Releases within the day",
            'sum(max by (app) (changes(sluice_release_confirmed_timestamp_seconds{app=~"$app"}[1d]))) or vector(0)',
        ),
        _stat(
            "Since the last release", 'time() - max(sluice_release_confirmed_timestamp_seconds{app=~"$app"})', SECONDS
        ),
        _stat("Apps that a run holds", 'count(max by (app) (sluice_lease_held{app=~"$app"}) == 1) or vector(0)'),
        _stat("Apps in maintenance", 'count(max by (app) (sluice_maintenance{app=~"$app"}) == 1) or vector(0)', warn=1),
        _table("Live", 'sluice_release_live{app=~"$app"} == 1', "app version release slot instance", wide=True),
        _lines(
            "Share of each slot",
            PER_CENT,
            ('max by (app, slot) (sluice_release_split_percent{app=~"$app"})', "{{app}} {{slot}}"),
        ),
        _lines(
            "Requests by release",
            PER_SECOND,
            (f"sum by (app, release) (rate({_REQUESTS}[$rate]))", "{{app}} {{release}}"),
        ),
        _lines("Failed by release", PER_CENT, (_failed_share("app, release"), "{{app}} {{release}}")),
        _lines("Latency by release, 99 %", SECONDS, (_latency(0.99, "app, release"), "{{app}} {{release}}")),
        _lines(
            "Containers running",
            COUNT,
            ('sum by (service, slot) (sluice_container_running{app=~"$app"})', "{{service}} {{slot}}"),
        ),
    ),
)

SLO = Dashboard(
    "slo",
    "SLO",
    (
        _table(
            "Error budget left",
            '100 * sluice:slo_error_budget_remaining:ratio{app=~"$app"}',
            "app slo",
            "left",
            PER_CENT,
            warn=25,
            bad=0,
            low=True,
            wide=True,
        ),
        _lines(
            "Error budget left",
            PER_CENT,
            ('100 * sluice:slo_error_budget_remaining:ratio{app=~"$app"}', "{{app}} {{slo}}"),
        ),
        _lines(
            "Requests that broke it, 1 hour",
            PER_CENT,
            ('100 * sluice:slo_error_ratio:rate1h{app=~"$app"}', "{{app}} {{slo}}"),
        ),
        _lines(
            "Requests that broke it, 6 hours",
            PER_CENT,
            ('100 * sluice:slo_error_ratio:rate6h{app=~"$app"}', "{{app}} {{slo}}"),
        ),
        _lines(
            "Requests that broke it, 3 days",
            PER_CENT,
            ('100 * sluice:slo_error_ratio:rate3d{app=~"$app"}', "{{app}} {{slo}}"),
        ),
        _lines("Requests", PER_SECOND, ('sluice:slo_requests:rate5m{app=~"$app"}', "{{app}} {{slo}}")),
    ),
)

DASHBOARDS = (FLEET, APP, DATABASE, DEPLOYS, SLO)
