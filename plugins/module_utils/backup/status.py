# SPDX-License-Identifier: Apache-2.0
"""Whether backups are healthy: judged from what was observed, and reported to people and to the node exporter. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository

HOUR = 3600.0
PROVED = "proved"
STAMP = "%Y-%m-%d %H:%M:%S UTC"
Host = Mapping[str, Any]
Runs = Mapping[str, Mapping[str, Any]]


class Observed(NamedTuple):
    """What an engine observes: its repositories, and beyond them problems, lines for people, metrics, and data for playbooks."""

    repositories: Sequence[Repository]
    problems: Sequence[str] = ()
    lines: Sequence[str] = ()
    metrics: Sequence[str] = ()
    data: Mapping[str, Any] = {}


def place(repository: str, source: str) -> str:
    """Name a series of backups: of the database, whose source is empty, or of one source of files, in one repository."""
    return f"{repository}: {source}" if source else repository


def sources(host: Host) -> list[str]:
    """Return what is backed up: the sources of files, or the database as one source without a name."""
    return [item["name"] for item in host["sources"]] if "sources" in host else [""]


def _series(host: Host, repositories: Sequence[Repository], runs: Runs) -> Iterator[tuple[str, Repository, Any]]:
    """Every source in every repository, with the result of its last run."""
    for repository in repositories:
        for source in sources(host):
            yield source, repository.of(source), runs.get(place(repository.name, source))


def problems(host: Host, repositories: Sequence[Repository], runs: Runs, now: float) -> list[str]:
    """Return what is wrong with the repositories, a line each. ``runs`` are the last results by place: {kind, ok, message, ended}."""
    found = [f"{item.name}: {item.failure.message}" for item in repositories if item.failure]
    for source, repository, run in _series(host, repositories, runs):
        where = place(repository.name, source)
        if run and not run["ok"]:
            found.append(f"{where}: the last backup ({run['kind']}, {when(run['ended'])}) failed: {run['message']}")
        newest, full = repository.newest, repository.newest_full
        if newest is None or full is None:
            found += [] if repository.failure or (run and not run["ok"]) else [f"{where}: there is no backup yet"]
            continue
        limits = [("backup", newest.ended, host["max_age_hours"])]
        if "full_max_age_hours" in host:
            limits.append(("full backup", full.ended, host["full_max_age_hours"]))
        found += [
            f"{where}: the newest {what} is {(now - ended) / HOUR:.0f} h old, more than {limit} h "
            "(is its timer running? systemctl list-timers)"
            for what, ended, limit in limits
            if now - ended > limit * HOUR
        ]
    return found


def of_drill(limit_hours: float, record: Mapping[str, Any] | None, now: float) -> list[str]:
    """Return what is wrong with the last restore drill, a line when something is; a limit of 0 needs none."""
    if record is None:
        return ["no restore was ever tried"] if limit_hours else []
    if record["verdict"] != PROVED:
        return [f"the last restore drill ({when(record['begun'])}) {record['verdict']}: {record['reason']}"]
    hours = (now - record["begun"]) / HOUR
    stale = limit_hours and hours > limit_hours
    return [f"the last proved restore is {hours:.0f} h old, more than {limit_hours:g} h"] if stale else []


def described(host: Host, seen: Observed, runs: Runs, found: Sequence[str], now: float) -> list[str]:
    """Return the status for people, a line each."""
    lines = []
    for source, repository, run in _series(host, seen.repositories, runs):
        parts = [f"{len(repository.backups)} backups"]
        if repository.stored:
            parts.append(f"{repository.stored / 2**20:.1f} MiB stored")
        newest, size = repository.newest, size_of(repository, run)
        if newest:
            age = f"{(now - newest.ended) / HOUR:.1f} h old" + (f", {size / 2**20:.1f} MiB" if size is not None else "")
            parts.append(f"newest {newest.label} ({age})")
        if repository.last_wal:
            parts.append(f"WAL up to {repository.last_wal}")
        about = f"{source:<24} " if source else ""
        lines.append(f"{repository.name:<10} {about}{'; '.join(parts)}")
    return [*lines, *seen.lines, *(f"PROBLEM: {line}" for line in found), "" if found else "healthy"]


def size_of(repository: Repository, run: Any) -> int | None:
    """Return the bytes of the newest backup, from itself or from the run that made it."""
    newest = repository.newest
    if newest and newest.size is None and run and run.get("snapshot") and newest.id.startswith(run["snapshot"]):
        return int(run["size"])
    return newest.size if newest else None


def metrics(prefix: str, host: Host, seen: Observed, runs: Runs, found: Sequence[str], now: float) -> str:
    """Return the status as the node exporter's textfile collector reads it. Moments instead of ages, which would stand still."""
    lines: list[str] = []
    for source, repository, run in _series(host, seen.repositories, runs):
        about = f',source="{_escaped(source)}"' if source else ""
        label = f'{{repository="{repository.name}"{about}}}'
        newest, size = repository.newest, size_of(repository, run)
        healthy = repository.failure is None and newest is not None and (run is None or run["ok"])
        lines.append(f"{prefix}_success{label} {int(healthy)}")
        if newest:
            lines.append(f"{prefix}_last_timestamp_seconds{label} {newest.ended:.0f}")
        if newest and source:
            lines.append(f"{prefix}_snapshots{label} {len(repository.backups)}")
        if size is not None and source:
            lines.append(f"{prefix}_size_bytes{label} {size}")
        if not source:
            lines.append(f"{prefix}_stored_bytes{label} {repository.stored}")
        if not source and repository.newest_full:
            lines.append(f"{prefix}_last_full_timestamp_seconds{label} {repository.newest_full.ended:.0f}")
    lines += [*seen.metrics, f"{prefix}_problems {len(found)}", f"{prefix}_looked_timestamp_seconds {now:.0f}"]
    return exposition(lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def exposition(lines: Sequence[str]) -> str:
    """Return samples with the type of each metric; the samples of one metric have to be together."""
    text, seen = [], set()
    for line in sorted(lines, key=lambda line: line.partition("{")[0].partition(" ")[0]):
        name = line.partition("{")[0].partition(" ")[0]
        if name not in seen:
            seen.add(name)
            text.append(f"# TYPE {name} gauge")
        text.append(line)
    return "\n".join(text) + "\n"


def moment_of(text: str) -> float:
    """Return the epoch seconds of a time in ISO 8601 with its zone. Raises ValueError, whose message says what is wrong."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text} is no time in ISO 8601, such as 2026-11-23T10:15:00Z") from error
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone; write {text}Z for UTC, or its offset such as {text}+02:00")
    return found.timestamp()


def when(stamp: float) -> str:
    """Return a moment for people."""
    return time.strftime(STAMP, time.gmtime(stamp))
