# SPDX-License-Identifier: Apache-2.0
"""The alerts about hosts, containers, databases, backups, certificates and releases. Pure.

A description says what is, with the value. Names of figures are those of the exporters of Debian, and Sluice's own (docs/alerts.md).
"""

from __future__ import annotations

from ansible_collections.sluice.stack.plugins.module_utils.monitoring.alert import NONE, PAGE, TICKET, Alert

# File systems that hold data.
_DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs|fuse.*",mountpoint!~"/run.*|/var/lib/docker/.+"'
_FREE = f"node_filesystem_avail_bytes{{{_DISKS}}}"
_DISK = f"node_filesystem_size_bytes{{{_DISKS}}}"

HOSTS = (
    Alert(
        "HostDown",
        PAGE,
        'up{job="node"} == 0',
        "{{ $labels.instance }} does not answer",
        "The exporter of host {{ $labels.instance }} has not answered for 2 minutes.",
        hold="2m",
    ),
    Alert(
        "ExporterDown",
        TICKET,
        'up{job!~"node|edge"} == 0',
        "exporter {{ $labels.job }} of {{ $labels.instance }} does not answer",
        "Exporter {{ $labels.job }} of {{ $labels.instance }} has not answered for 5 minutes: its alerts are blind.",
        hold="5m",
    ),
    Alert(
        "EdgeDown",
        PAGE,
        # Nginx, or what counts its requests.
        'up{job="edge"} == 0 or node_systemd_unit_state{name="nginx.service",state="active"} == 0',
        "edge {{ $labels.instance }} is down",
        "Nginx on edge {{ $labels.instance }} has not run, or given no figures, for 1 minute.",
        hold="1m",
    ),
    Alert(
        "UnitFailed",
        TICKET,
        # What the status of backups finds has alerts of its own.
        'node_systemd_unit_state{state="failed",name!~"sluice-(backup|files)@status.service"} == 1',
        "{{ $labels.name }} of {{ $labels.instance }} failed",
        "Unit {{ $labels.name }} of {{ $labels.instance }} has been failed for 5 minutes.",
        hold="5m",
    ),
    Alert(
        "DiskFillsIn24h",
        TICKET,
        # Below 40 % only: a copy made once on an empty disk is not a trend. Nor are the first hours of a host: what a few minutes write is no pace.
        f"predict_linear({_FREE}[6h], 86400) < 0 and {_FREE} / {_DISK} < 0.4 and {_FREE} offset 3h",
        "{{ $labels.mountpoint }} of {{ $labels.instance }} is full within 24 h",
        "At the pace of the last 6 h {{ $labels.mountpoint }} of {{ $labels.instance }} will be short of {{ $value | humanize1024 }}B tomorrow.",
        hold="30m",
    ),
    Alert(
        "DiskNearlyFull",
        PAGE,
        f"100 * {_FREE} / {_DISK} < {{threshold}}",
        "{{ $labels.mountpoint }} of {{ $labels.instance }} is nearly full",
        '{{ $labels.mountpoint }} of {{ $labels.instance }} has {{ printf "%.1f" $value }} % left.',
        hold="5m",
        threshold=8,
    ),
    Alert(
        "InodesNearlyFull",
        PAGE,
        f"100 * node_filesystem_files_free{{{_DISKS}}} / (node_filesystem_files{{{_DISKS}}} > 0) < {{threshold}}",
        "{{ $labels.mountpoint }} of {{ $labels.instance }} has nearly no inodes left",
        '{{ $labels.mountpoint }} of {{ $labels.instance }} has {{ printf "%.1f" $value }} % of its inodes left.',
        hold="5m",
        threshold=5,
    ),
    Alert(
        "MemoryNearlyFull",
        TICKET,
        "100 * node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < {threshold}",
        "{{ $labels.instance }} is short of memory",
        '{{ $labels.instance }} has had {{ printf "%.1f" $value }} % of its memory available for 10 minutes.',
        hold="10m",
        threshold=8,
    ),
    Alert(
        "ClockSkew",
        TICKET,
        # Against the clock of Prometheus: the host's own idea of how good its clock is may be wrong with it.
        "abs(node_time_seconds - timestamp(node_time_seconds)) > {threshold}",
        "the clock of {{ $labels.instance }} is off",
        "The clock of {{ $labels.instance }} differs by {{ $value | humanizeDuration }} from the monitoring host's.",
        hold="2m",
        threshold=5,
    ),
    Alert(
        "RebootPending",
        TICKET,
        "sluice_reboot_required == 1",
        "{{ $labels.instance }} should have been rebooted",
        "{{ $labels.instance }} has needed a reboot for 7 days: its kernel or libraries are older than what is installed.",
        hold="7d",
    ),
    Alert(
        "UpgradesPending",
        TICKET,
        "sluice_pending_security_upgrades > 0",
        "{{ $labels.instance }} lacks security upgrades",
        "{{ $labels.instance }} has had {{ $value }} security upgrades to install for 3 days.",
        hold="3d",
    ),
    Alert(
        "FactsStale",
        TICKET,
        "time() - sluice_facts_written_timestamp_seconds > {threshold}",
        "the facts of {{ $labels.instance }} are old",
        "Sluice's facts of {{ $labels.instance }} were written {{ $value | humanizeDuration }} ago: its alerts are blind.",
        hold="5m",
        threshold=300,
    ),
)

_CONTAINER = "{{ $labels.app }} {{ $labels.service }} on {{ $labels.instance }}"
CONTAINERS = (
    Alert(
        "ContainerRestarting",
        PAGE,
        "increase(sluice_container_restarts_total[15m]) > {threshold}",
        f"{_CONTAINER} restarts again and again",
        f'{_CONTAINER} (release {{{{ $labels.release }}}}) restarted {{{{ printf "%.0f" $value }}}} times in 15 minutes.',
        threshold=2,
    ),
    Alert(
        "ContainerOutOfMemory",
        TICKET,
        "increase(sluice_container_oom_kills_total[15m]) > 0",
        f"{_CONTAINER} was killed for its memory",
        f'{_CONTAINER} (release {{{{ $labels.release }}}}) hit its memory limit {{{{ printf "%.0f" $value }}}} times in 15 minutes.',
    ),
    Alert(
        "ContainerUnhealthy",
        PAGE,
        "sluice_container_healthy == 0 and sluice_container_running == 1",
        f"{_CONTAINER} is unhealthy",
        f"{_CONTAINER} (release {{{{ $labels.release }}}}, slot {{{{ $labels.slot }}}}) has failed its health check for 5 minutes.",
        hold="5m",
    ),
)

_BACKUP = "{{ $labels.engine }} backup {{ $labels.name }} of {{ $labels.instance }}"
BACKUPS = (
    Alert(
        "BackupLate",
        TICKET,
        "time() - sluice_backup_last_success_timestamp_seconds > sluice_backup_max_age_seconds",
        f"{_BACKUP} is late",
        f"The last {_BACKUP} that succeeded is {{{{ $value | humanizeDuration }}}} old.",
        hold="5m",
    ),
    Alert(
        "BackupFailed",
        TICKET,
        "sluice_backup_last_failed == 1",
        f"{_BACKUP} failed",
        f"The last {_BACKUP} failed, or nothing can be read where it is kept.",
        hold="5m",
    ),
    Alert(
        "DrillFailed",
        TICKET,
        "sluice_drill_passed == 0",
        f"{_BACKUP} could not be restored",
        f"The last restore drill of {_BACKUP} failed: do not count on it.",
    ),
    Alert(
        "DrillLate",
        TICKET,
        "time() - sluice_drill_last_timestamp_seconds > sluice_drill_max_age_seconds",
        f"{_BACKUP} was not tried for long",
        f"The last restore drill of {_BACKUP} was {{{{ $value | humanizeDuration }}}} ago.",
        hold="5m",
    ),
    Alert(
        "WalArchiveLag",
        PAGE,
        "sluice_wal_archive_lag_seconds > {threshold}",
        "{{ $labels.instance }} does not archive its WAL",
        "The oldest change of {{ $labels.instance }} that is not in the archive is {{ $value | humanizeDuration }} old: so much would be lost now.",
        hold="5m",
        threshold=600,
    ),
)

DATABASES = (
    Alert(
        "PostgresDown",
        PAGE,
        "pg_up == 0",
        "Postgres on {{ $labels.instance }} is down",
        "Postgres on {{ $labels.instance }} has accepted no connection for 1 minute.",
        hold="1m",
    ),
    Alert(
        "ReplicaLag",
        TICKET,
        # The older name is that of Debian 12's exporter.
        "(pg_replication_lag_seconds or pg_replication_lag) > {threshold}",
        "the standby {{ $labels.instance }} lags",
        "The standby {{ $labels.instance }} is {{ $value | humanizeDuration }} behind its primary.",
        hold="5m",
        threshold=60,
    ),
    Alert(
        "ConnectionsNearLimit",
        PAGE,
        "100 * sum by (instance) (pg_stat_activity_count) / max by (instance) (pg_settings_max_connections) > {threshold}",
        "Postgres on {{ $labels.instance }} is near its limit of connections",
        'Postgres on {{ $labels.instance }} uses {{ printf "%.0f" $value }} % of max_connections.',
        hold="5m",
        threshold=85,
    ),
    Alert(
        "RedisDown",
        PAGE,
        "redis_up == 0",
        "Redis on {{ $labels.instance }} is down",
        "Redis on {{ $labels.instance }} has accepted no connection for 1 minute.",
        hold="1m",
    ),
    Alert(
        "RedisMemoryNearlyFull",
        TICKET,
        "100 * redis_memory_used_bytes / (redis_memory_max_bytes > 0) > {threshold}",
        "Redis on {{ $labels.instance }} is near its memory limit",
        'Redis on {{ $labels.instance }} uses {{ printf "%.0f" $value }} % of maxmemory.',
        hold="10m",
        threshold=90,
    ),
)

EDGES = (
    Alert(
        "RouteFails",
        PAGE,
        'probe_success{job="blackbox"} == 0',
        "{{ $labels.route }} of {{ $labels.app }} fails from outside",
        "Requests to {{ $labels.route }} of {{ $labels.app }} have failed from outside for 2 minutes.",
        hold="2m",
    ),
    Alert(
        "CertificateEnding",
        TICKET,
        "(sluice_certificate_not_after_timestamp_seconds - time()) / 86400 < {threshold}",
        "the certificate of {{ $labels.name }} ends soon",
        'The certificate of {{ $labels.name }} on {{ $labels.instance }} ends in {{ printf "%.1f" $value }} days.',
        hold="10m",
        threshold=14,
    ),
    Alert(
        "CertificateEndingNow",
        PAGE,
        "(sluice_certificate_not_after_timestamp_seconds - time()) / 86400 < {threshold}",
        "the certificate of {{ $labels.name }} ends in days",
        'The certificate of {{ $labels.name }} on {{ $labels.instance }} ends in {{ printf "%.1f" $value }} days.',
        hold="10m",
        threshold=3,
    ),
    Alert(
        "CertificateRenewalFailed",
        TICKET,
        "sluice_certificate_renewal_failed == 1",
        "the certificate of {{ $labels.name }} is not renewed",
        "The last renewals of the certificate of {{ $labels.name }} on {{ $labels.instance }} failed, for 6 hours now.",
        hold="6h",
    ),
)

RELEASES = (
    Alert(
        "LeaseHeldLong",
        TICKET,
        "max by (app) ((time() - sluice_lease_since_timestamp_seconds) * sluice_lease_held) > {threshold}",
        "a run has held {{ $labels.app }} for long",
        "A run has held the lease of {{ $labels.app }} for {{ $value | humanizeDuration }}; others wait or are refused.",
        threshold=3600,
    ),
    Alert(
        "EdgesDisagree",
        PAGE,
        "count by (app) (count by (app, release) (sluice_release_live == 1)) > 1",
        "edges serve different releases of {{ $labels.app }}",
        "The edges have confirmed {{ $value }} different releases of {{ $labels.app }} for 10 minutes.",
        hold="10m",
    ),
    Alert(
        "MaintenanceLong",
        TICKET,
        "max by (app) (sluice_maintenance) == 1",
        "{{ $labels.app }} is still in maintenance",
        "{{ $labels.app }} has shown its maintenance page for 4 hours.",
        hold="4h",
    ),
)

MONITORING = (
    Alert(
        "Watchdog",
        NONE,
        "vector(1)",
        "monitoring works",
        "Always firing. Who waits for it notices when it no longer arrives.",
    ),
    Alert(
        "MonitoringDown",
        PAGE,
        # Said by the host itself, and so seen by another monitoring host. One that does not answer at all is HostDown.
        "sluice_monitoring_works == 0",
        "monitoring host {{ $labels.instance }} tells nobody",
        "Prometheus or Alertmanager of {{ $labels.instance }} has not worked for 2 minutes: what it alone looks at is not told.",
        hold="2m",
    ),
    Alert(
        "RulesFail",
        TICKET,
        "sum by (instance) (increase(prometheus_rule_evaluation_failures_total[15m])) > 0",
        "rules on {{ $labels.instance }} cannot be evaluated",
        '{{ printf "%.0f" $value }} evaluations of rules failed on {{ $labels.instance }} in 15 minutes: some alerts are blind.',
    ),
    Alert(
        "NoticesFail",
        TICKET,
        "sum by (instance, integration) (increase(alertmanager_notifications_failed_total[15m])) > 0",
        "{{ $labels.integration }} does not get its notices",
        '{{ printf "%.0f" $value }} notices by {{ $labels.integration }} failed on {{ $labels.instance }} in 15 minutes.',
    ),
)

GROUPS: dict[str, tuple[Alert, ...]] = {
    "hosts": HOSTS,
    "containers": CONTAINERS,
    "backups": BACKUPS,
    "databases": DATABASES,
    "edges": EDGES,
    "releases": RELEASES,
    "monitoring": MONITORING,
}
