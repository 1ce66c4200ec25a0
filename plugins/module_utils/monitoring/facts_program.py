# SPDX-License-Identifier: Apache-2.0
"""Write what Sluice knows of this host where the node exporter reads it; a timer starts it every 15 s. See docs/monitoring.md."""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import plain_http
from ansible_collections.sluice.stack.plugins.module_utils.backup import host as database
from ansible_collections.sluice.stack.plugins.module_utils.docker.containers import LABEL
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import SOCKET, Engine, NotFound
from ansible_collections.sluice.stack.plugins.module_utils.docker.health import probe
from ansible_collections.sluice.stack.plugins.module_utils.edge import records
from ansible_collections.sluice.stack.plugins.module_utils.file_backup import host as files
from ansible_collections.sluice.stack.plugins.module_utils.files import read_json
from ansible_collections.sluice.stack.plugins.module_utils.monitoring import facts
from ansible_collections.sluice.stack.plugins.module_utils.monitoring.exposition import Sample, text
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together
from ansible_collections.sluice.stack.plugins.module_utils.paths import (
    CERTIFICATES_STATUS,
    EDGE_RECORDS,
    STATE_ROOT,
    ledger_file,
)
from ansible_collections.sluice.stack.plugins.module_utils.release import ledger
from ansible_collections.sluice.stack.plugins.module_utils.release.guard import host_now, read_lease
from ansible_collections.sluice.stack.plugins.module_utils.release.ledger import History

FILE = "sluice_facts.prom"
CGROUPS = "/sys/fs/cgroup"
ENGINE_SECONDS = 10.0
APT_SECONDS = 120.0
SERVER_SECONDS = 5.0
# Where the role monitoring is.
ALERTMANAGER = "/etc/systemd/system/prometheus-alertmanager.service.d/sluice.conf"
# What a host looks at only when it may have changed, and at least every hour.
APT_EVERY_SECONDS = 3600.0
APT_STAMPS = ("/var/lib/dpkg/status", "/var/lib/apt/lists")


class Look:
    """One look at this host; ``kept`` is what the look before left."""

    def __init__(self, kept: Mapping[str, Any], textfiles: str) -> None:
        self.now, self.kept, self.textfiles = time.time(), dict(kept), textfiles
        self.histories: dict[str, History] = {}

    def parts(self) -> dict[str, Callable[[], Iterable[Sample]]]:
        """The parts of a host, by name; one that fails does not keep the others from being read."""
        return {
            "releases": self.releases,
            "containers": self.containers,
            "backups": self.backups,
            "certificates": self.certificates,
            "monitoring": self.monitoring,
            "host": self.host,
        }

    def history(self, app: str) -> History:
        """The history of an app, from this host's ledger."""
        if app not in self.histories:
            self.histories[app] = ledger.merge_texts([ledger.text(ledger_file(app))])
        return self.histories[app]

    def releases(self) -> Iterator[Sample]:
        """Yield leases, history and records of all apps of this host."""
        for app in sorted(os.path.basename(path) for path in glob.glob(os.path.join(STATE_ROOT, "apps", "*"))):
            lease = read_lease(app)
            yield from facts.of_lease(app, lease.alive(host_now()), lease.since)
            yield from facts.of_history(app, self.history(app))
        for path in sorted(glob.glob(os.path.join(EDGE_RECORDS, "*.json"))):
            app = os.path.basename(path).removesuffix(".json")
            yield from facts.of_record(records.read(app), self.history(app), self.now)

    # -- containers ----------------------------------------------------------------------------------------------------

    def containers(self) -> Iterator[Sample]:
        """Yield the figures of each container of an app."""
        if not os.path.exists(SOCKET):
            return
        engine = Engine(ENGINE_SECONDS)
        kills = self._oom_kills(engine)
        label = json.dumps({"label": [f"{LABEL}app"]})
        for found in together(
            lambda item: self._container(engine, item, kills), engine.get("/containers/json", all="true", filters=label)
        ):
            yield from found

    def _container(self, engine: Engine, item: Mapping[str, Any], kills: Mapping[str, int]) -> list[Sample]:
        labels = facts.labels_of(item["Labels"])
        if labels is None:
            return []
        manifests = self.history(labels["app"]).manifests
        if facts.is_job(labels, manifests):
            return []
        try:
            details = engine.get(f"/containers/{item['Id']}/json")
        except NotFound:
            return []  # gone meanwhile
        usage = _usage(int(details["State"].get("Pid") or 0))
        healthy = _healthy(item, labels, manifests)
        return list(facts.of_container(labels, details, usage, healthy, kills.get(item["Id"], 0)))

    def _oom_kills(self, engine: Engine) -> dict[str, int]:
        """Return the kills of each container so far: Docker starts a killed one anew, with a cgroup that knows nothing of it."""
        since, kills = self.kept.get("events_until", self.now), dict(self.kept.get("oom_kills", {}))
        asked = {"since": f"{since:.9f}", "until": f"{self.now:.9f}", "filters": json.dumps({"event": ["oom"]})}
        for item in engine.lines("/events", **asked):
            identity = item.get("Actor", {}).get("ID", "")
            kills[identity] = kills.get(identity, 0) + 1
        present = {item["Id"] for item in engine.get("/containers/json", all="true")} if kills else set()
        self.kept["events_until"] = self.now
        self.kept["oom_kills"] = {identity: count for identity, count in kills.items() if identity in present}
        return kills

    # -- backups, certificates, the host -------------------------------------------------------------------------------

    def backups(self) -> Iterator[Sample]:
        """Yield what the programs of backups left."""
        held = read_json(database.SETTINGS)
        if held:
            runs = read_json(os.path.join(database.STATE, "runs.json"), {})
            yield from facts.of_backups(held, held["engine"], "sluice_backup", runs, self._written("sluice_backup"))
            since = os.stat(database.SETTINGS).st_mtime
            yield from facts.of_drill(held, held["engine"], read_json(database.DRILL_RECORD), since)
            if held["engine"] == "pgbackrest" and not os.path.exists(os.path.join(held["data"], "standby.signal")):
                ready = glob.glob(os.path.join(held["data"], "pg_wal", "archive_status", "*.ready"))
                yield from facts.of_archive(_times(ready), self.now)
        held = read_json(files.SETTINGS)
        if held:
            runs = read_json(os.path.join(files.STATE, "runs.json"), {})
            yield from facts.of_backups(held, "files", "sluice_files", runs, self._written("sluice_files"))

    def _written(self, name: str) -> str:
        return _text(os.path.join(self.textfiles, f"{name}.prom"))

    def certificates(self) -> Iterator[Sample]:
        """Yield what the edge's program of certificates saw last."""
        status = read_json(CERTIFICATES_STATUS)
        if status:
            yield from facts.of_certificates(status)

    def monitoring(self) -> Iterator[Sample]:
        """Yield whether the servers of a monitoring host work, for another one that looks at them."""
        if os.path.exists(ALERTMANAGER):
            ready, alerts = _asked(9090, "/-/ready"), _asked(9093, "/api/v2/alerts")
            yield from facts.of_monitoring(bool(ready and ready.status == 200), alerts and alerts.data())

    def host(self) -> Iterator[Sample]:
        """Yield what any host has."""
        yield Sample("sluice_reboot_required", os.path.exists("/run/reboot-required"))
        stamp = [os.stat(path).st_mtime for path in APT_STAMPS if os.path.exists(path)]
        apt = self.kept.get("apt", {})
        if apt.get("stamp") != stamp or self.now - apt.get("at", 0) > APT_EVERY_SECONDS:
            # Kept first: where apt fails it is asked again in an hour, not in 15 s.
            apt = self.kept["apt"] = {"stamp": stamp, "at": self.now, "upgrades": None}
            apt["upgrades"] = _upgrades()
        if apt["upgrades"] is not None:
            yield Sample("sluice_pending_security_upgrades", apt["upgrades"])


def _asked(port: int, target: str) -> plain_http.Answer | None:
    try:
        return plain_http.request(("127.0.0.1", port), "GET", target, timeout=SERVER_SECONDS)
    except plain_http.NoAnswer:
        return None


def _upgrades() -> int:
    # Nothing of apt's is written or locked.
    options = ("Debug::NoLocking=1", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=")
    command = ["apt-get", "-s", "-qq", *(word for one in options for word in ("-o", one)), "dist-upgrade"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=APT_SECONDS,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    return facts.security_upgrades(done.stdout)


def _usage(pid: int) -> dict[str, float]:
    """Return what a container uses: its first process says which cgroup it is in."""
    if not pid:
        return {}
    group = _text(f"/proc/{pid}/cgroup").rpartition("::")[2].strip()
    folder = os.path.join(CGROUPS, group.lstrip("/"))
    if not group or group == "/" or not os.path.isdir(folder):
        return {}
    names = ("cpu.stat", "memory.current", "memory.stat")
    found = facts.usage_of(*(_text(os.path.join(folder, name)) for name in names))
    if "memory_bytes" not in found:
        # A kernel without the memory controller: the resident pages of its processes, shared ones more than once.
        pids = _text(os.path.join(folder, "cgroup.procs")).split()
        pages = sum(int((_text(f"/proc/{one}/statm").split() or ["0", "0"])[1]) for one in pids)
        found["memory_bytes"] = pages * os.sysconf("SC_PAGE_SIZE")
    return found


def _healthy(item: Mapping[str, Any], labels: Mapping[str, str], manifests: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a container passes its release's health check; one without a port, or of an unknown release, is as healthy as it runs."""
    address = next(((port["IP"], port["PublicPort"]) for port in item["Ports"] if "PublicPort" in port), None)
    service = (manifests.get(labels["release"]) or {"services": {}})["services"].get(labels["service"])
    if address is None or service is None or not service.get("health"):
        return True
    return probe(*address, service["health"]) is None


def _times(paths: Iterable[str]) -> Iterator[float]:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # archived meanwhile
            yield os.stat(path).st_mtime


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:  # a process or container that ended
        return ""


def look(state: str, textfiles: str) -> tuple[str, dict[str, str]]:
    """Look once and keep what the next look needs; returns the figures, and why parts could not be read."""
    one = Look(read_json(state, {}), textfiles)
    samples: list[Sample] = []
    failed: dict[str, str] = {}
    parts = one.parts()
    for name, part in parts.items():
        try:
            samples += list(part())
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    samples += facts.errors(list(parts), failed)
    samples.append(Sample("sluice_facts_written_timestamp_seconds", one.now))
    replace(state, json.dumps(one.kept), 0o600)
    return text(samples, facts.KINDS), failed


def replace(path: str, content: str, mode: int) -> None:
    """Replace a file at once. It is not synced: what it said before a crash is of no use after it."""
    part = f"{path}.part"  # the node exporter reads *.prom only
    with open(part, "w", encoding="utf-8") as handle:
        os.fchmod(handle.fileno(), mode)
        handle.write(content)
    os.replace(part, path)


def main(words: Sequence[str]) -> int:
    """Look, write, end. A part that fails is in the journal, and its figure says so."""
    parser = argparse.ArgumentParser(prog="sluice-facts", description="Figures of this host for Prometheus.")
    parser.add_argument("--textfiles", required=True, help="the node exporter's directory")
    parser.add_argument("--state", default=os.path.join(STATE_ROOT, "facts.json"), help="what the next look needs")
    parser.add_argument("--print", action="store_true", help="show the figures instead of writing them")
    asked = parser.parse_args(words)
    page, failed = look(asked.state, asked.textfiles)
    if asked.print:
        sys.stdout.write(page)
    else:
        replace(os.path.join(asked.textfiles, FILE), page, 0o644)
    for name, why in failed.items():
        sys.stderr.write(f"{name}: {why}\n")
    return 0
