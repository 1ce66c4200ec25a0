# SPDX-License-Identifier: Apache-2.0
"""What Sluice knows of a host, as figures. Pure: each function takes what was read of the host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.status import PROVED
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import LABEL
from ansible_collections.sluice.stack.plugins.module_utils.edge.record import SLOTS, Record, effective
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.exposition import Sample
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History
from ansible_collections.sluice.stack.plugins.module_utils.release.manifest import kind

HOUR = 3600.0
KINDS = {"sluice_container_cpu_seconds_total": "counter", "sluice_container_restarts_total": "counter"}

_LABELS = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_UPGRADE = re.compile(r"^Inst (\S+) \[[^\]]*\] \([^)]*[Ss]ecurity[^)]*\)", re.MULTILINE)


def of_lease(app: str, held: bool, since: float) -> Iterator[Sample]:
    """Yield whether a run holds an app's lease on this host, and since when."""
    yield Sample("sluice_lease_held", held, {"app": app})
    if held:
        yield Sample("sluice_lease_since_timestamp_seconds", since, {"app": app})


def of_record(record: Record, history: History, now: float) -> Iterator[Sample]:
    """Yield what an edge's record says: the live release, the share of each slot, maintenance."""
    app, confirmed = record["app"], record["confirmed"]
    if confirmed:
        version = str(history.manifests.get(confirmed["release"], {}).get("version", ""))
        labels = {"app": app, "release": confirmed["release"], "version": version, "slot": confirmed["slot"]}
        yield Sample("sluice_release_live", 1, labels)
    shares = {share["slot"]: share["percent"] for share in effective(record, now)}
    for slot in SLOTS:
        yield Sample("sluice_release_split_percent", shares.get(slot, 0), {"app": app, "slot": slot})
    yield Sample("sluice_maintenance", record["maintenance"] is not None, {"app": app})


def of_history(app: str, history: History) -> Iterator[Sample]:
    """Yield when the app's last release was confirmed, and since when each of its secrets has its value."""
    confirmed = [item for item in history.entries if item["event"] == "confirmed"]
    if confirmed:
        yield Sample("sluice_release_confirmed_timestamp_seconds", moment(confirmed[-1]["time"]), {"app": app})
    known: dict[str, tuple[str, float]] = {}
    for item in confirmed:
        manifest = item.get("manifest") or history.manifests.get(item["release"]) or {"services": {}}
        versions = {
            name: version
            for one in manifest["services"].values()
            for name, version in (one.get("secrets") or {}).items()
        }
        known = {
            name: known[name] if known.get(name, ("",))[0] == version else (version, moment(item["time"]))
            for name, version in versions.items()
        }
    for name, (_version, since) in sorted(known.items()):
        yield Sample("sluice_secret_rotated_timestamp_seconds", since, {"app": app, "secret": name})


def moment(text: str) -> float:
    """Return a time of the ledger, in ISO 8601, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


# -- containers --------------------------------------------------------------------------------------------------------


def labels_of(labels: Mapping[str, str]) -> dict[str, str] | None:
    """Return the labels of a container's figures; None for one that is no part of a running app: a command, a migration."""
    service = labels.get(LABEL + "service") if LABEL + "slot" in labels else labels.get(LABEL + "workers")
    if service is None or LABEL + "app" not in labels:
        return None
    return {
        "app": labels[LABEL + "app"],
        "service": service,
        "slot": labels.get(LABEL + "slot", ""),
        "release": labels.get(LABEL + "release", ""),
        "replica": labels.get(LABEL + "replica", "0"),
    }


def is_job(labels: Mapping[str, str], manifests: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a container is a scheduled job's, which is not meant to run all the time."""
    manifest = manifests.get(labels["release"])
    service = manifest["services"].get(labels["service"]) if manifest else None
    return service is not None and kind(service) == "job"


def of_container(
    labels: Mapping[str, str],
    details: Mapping[str, Any],
    usage: Mapping[str, float],
    healthy: bool,
    oom_kills: int,
) -> Iterator[Sample]:
    """Yield a container's figures: ``details`` as Docker inspects it, ``usage`` its cpu_seconds and memory_bytes."""
    state = details["State"]
    running = bool(state.get("Running")) and not state.get("Restarting")
    yield Sample("sluice_container_running", running, labels)
    yield Sample("sluice_container_healthy", running and healthy, labels)
    yield Sample("sluice_container_restarts_total", int(details.get("RestartCount") or 0), labels)
    yield Sample("sluice_container_oom_kills_total", oom_kills, labels)
    for name in ("cpu_seconds_total", "memory_bytes"):
        if name in usage:
            yield Sample(f"sluice_container_{name}", usage[name], labels)
    limit = int(details.get("HostConfig", {}).get("Memory") or 0)
    if limit:
        yield Sample("sluice_container_memory_limit_bytes", limit, labels)
    if running:
        yield Sample("sluice_container_started_timestamp_seconds", docker_moment(state["StartedAt"]), labels)


def docker_moment(text: str) -> float:
    """Return a time of Docker's, with nine digits of a second, in seconds since the epoch."""
    whole, _unused, rest = text.rstrip("Z").partition(".")
    digits = re.match(r"\d*", rest)
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{digits[0] if digits else ''}0")


def usage_of(cpu_stat: str, memory_current: str, memory_stat: str) -> dict[str, float]:
    """Return what a container uses, from its files in cgroup 2; of memory without the file cache that can be dropped, as Docker counts."""
    found: dict[str, float] = {}
    cpu = _field(cpu_stat, "usage_usec")
    if cpu is not None:
        found["cpu_seconds_total"] = cpu / 1e6
    if memory_current.strip().isdigit():
        found["memory_bytes"] = max(0, int(memory_current) - (_field(memory_stat, "inactive_file") or 0))
    return found


def _field(text: str, name: str) -> int | None:
    match = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


# -- backups and certificates ------------------------------------------------------------------------------------------


def of_backups(
    host: Mapping[str, Any], engine: str, prefix: str, runs: Mapping[str, Any], written: str
) -> Iterator[Sample]:
    """Yield what is known of the backups an engine makes: ``written`` are the figures its program last wrote, ``runs`` its last results."""
    for name, value in _written(written, f"{prefix}_last_timestamp_seconds"):
        yield Sample("sluice_backup_last_success_timestamp_seconds", value, {"engine": engine, "name": name})
    # A repository that does not answer fails too: of its backups nothing is known.
    failed = {name: not run["ok"] for name, run in runs.items()}
    failed |= {name: True for name, success in _written(written, f"{prefix}_success") if not success}
    for name, value in sorted(failed.items()):
        yield Sample("sluice_backup_last_failed", value, {"engine": engine, "name": name})
    for item in host["repositories"]:
        for source in [one["name"] for one in host["sources"]] if "sources" in host else [""]:
            name = f"{item['name']}: {source}" if source else item["name"]
            limit = host["max_age_hours"] * HOUR
            yield Sample("sluice_backup_max_age_seconds", limit, {"engine": engine, "name": name})


def _written(page: str, wanted: str) -> Iterator[tuple[str, float]]:
    """Yield the values of a figure by the place of the backups."""
    for line in page.splitlines():
        name, mark, rest = line.partition("{")
        if mark and name == wanted:
            labels = {key: value.replace('\\"', '"').replace("\\\\", "\\") for key, value in _LABELS.findall(rest)}
            repository, source = labels.get("repository", ""), labels.get("source", "")
            yield f"{repository}: {source}" if source else repository, float(rest.rpartition(" ")[2])


def of_drill(host: Mapping[str, Any], engine: str, record: Mapping[str, Any] | None, since: float) -> Iterator[Sample]:
    """Yield the last restore drill; where none was tried it is due from ``since`` on, and none has failed."""
    labels = {"engine": engine, "name": (record or {}).get("repository") or host["drill_repository"]}
    limit = host["drill_max_age_hours"] * HOUR
    # Without a limit nobody wants a drill.
    if record or limit:
        yield Sample("sluice_drill_last_timestamp_seconds", record["begun"] if record else since, labels)
    if record:
        yield Sample("sluice_drill_passed", record["verdict"] == PROVED, labels)
    if limit:
        yield Sample("sluice_drill_max_age_seconds", limit, labels)


def of_archive(waiting: Iterable[float], now: float) -> Iterator[Sample]:
    """Yield how long the oldest WAL file has waited for the archive; ``waiting`` are the times since which each does."""
    yield Sample("sluice_wal_archive_lag_seconds", max([0.0, *(now - since for since in waiting)]))


def of_certificates(status: Mapping[str, Any]) -> Iterator[Sample]:
    """Yield each certificate's end and whether something is wrong with its renewal."""
    for item in status["names"]:
        if "ends" in item:
            yield Sample("sluice_certificate_not_after_timestamp_seconds", item["ends"], {"name": item["name"]})
        yield Sample("sluice_certificate_renewal_failed", bool(item["problem"]), {"name": item["name"]})


def of_monitoring(ready: bool, alerts: Any) -> Iterator[Sample]:
    """Yield whether Prometheus here evaluates its rules and Alertmanager hears of it: it has the alert that always fires."""
    heard = isinstance(alerts, list) and any(one.get("labels", {}).get("alertname") == "Watchdog" for one in alerts)
    yield Sample("sluice_monitoring_works", ready and heard)


def security_upgrades(simulated: str) -> int:
    """Count the packages that ``apt-get -s dist-upgrade`` would take from a security archive."""
    return len(_UPGRADE.findall(simulated))


def errors(parts: Sequence[str], failed: Mapping[str, str]) -> Iterator[Sample]:
    """Yield which parts could not be read."""
    for part in parts:
        yield Sample("sluice_facts_failed", part in failed, {"part": part})
