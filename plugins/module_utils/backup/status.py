# SPDX-License-Identifier: Apache-2.0
"""Whether the backups are well: pure judgement of what was observed, and its text for people and for the node exporter."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Repository

HOUR = 3600.0
# An archiver that failed a moment ago and has worked since is well.
STAMP = "%Y-%m-%d %H:%M:%S UTC"


def judge(
    host: Mapping[str, Any],
    repositories: Sequence[Repository],
    archiver: Mapping[str, Any] | None,
    runs: Mapping[str, Any],
    drill: Mapping[str, Any] | None,
    now: float,
) -> list[str]:
    """What is wrong, a line each; empty when all is well.

    ``archiver`` is {failed_at, failed, archived_at, waiting} with epoch seconds or None each, or None when the server did not answer;
    ``runs`` the last run's {ok, message} by repository; ``drill`` the last drill's record.
    """
    wrong = of_repositories(host, repositories, runs, now)
    if archiver is None:
        wrong.append("the database does not answer, so nobody knows whether it archives")
    else:
        wrong += _of_archiver(host, archiver)
    return wrong + of_drill(host, drill, now)


def of_repositories(
    host: Mapping[str, Any], repositories: Sequence[Repository], runs: Mapping[str, Any], now: float
) -> list[str]:
    """What is wrong with the repositories, a line each."""
    return [
        line for repository in repositories for line in _of_repository(host, repository, runs.get(repository.name), now)
    ]


def _of_repository(host: Mapping[str, Any], repository: Repository, run: Any, now: float) -> list[str]:
    name = repository.name
    if repository.failure:
        return [f"{name}: {repository.failure.message}"]
    wrong = []
    if run and not run["ok"]:
        wrong.append(f"{name}: the last backup ({run['kind']}, {when(run['ended'])}) failed: {run['message']}")
    newest, full = repository.newest, repository.newest_full
    if newest is None or full is None:
        return [*wrong, f"{name}: it holds no backup"]
    for what, item, limit in (
        ("backup", newest, host["max_age_hours"]),
        ("full backup", full, host["full_max_age_hours"]),
    ):
        hours = (now - item.ended) / HOUR
        if hours > limit:
            wrong.append(
                f"{name}: the newest {what} is {hours:.0f} h old, more than {limit} h (is its timer running? systemctl list-timers)"
            )
    return wrong


def _of_archiver(host: Mapping[str, Any], archiver: Mapping[str, Any]) -> list[str]:
    wrong = []
    failed, worked = archiver["failed_at"], archiver["archived_at"]
    if failed is not None and (worked is None or failed > worked):
        wrong.append(
            f"the archiver fails: {archiver['failed']} at {when(failed)}, and nothing was archived since; "
            "the reason is in the database's log, and /var/log/pgbackrest has more"
        )
    if archiver["waiting"] > host["max_waiting"]:
        wrong.append(
            f"{archiver['waiting']} WAL files wait to be archived, more than {host['max_waiting']}; they fill the database's disk"
        )
    return wrong


def of_drill(host: Mapping[str, Any], drill: Mapping[str, Any] | None, now: float) -> list[str]:
    """What is wrong with the last drill, a line when something is."""
    limit = host["drill_max_age_hours"]
    if drill is None:
        return ["no restore was ever tried: run playbooks/backup/drill.yml"] if limit else []
    if drill["verdict"] != "proved":
        return [f"the last restore drill ({when(drill['begun'])}) {drill['verdict']}: {drill['reason']}"]
    hours = (now - drill["begun"]) / HOUR
    return [f"the last proved restore is {hours:.0f} h old, more than {limit} h"] if limit and hours > limit else []


def moment_of(text: str) -> float:
    """A moment that a person wrote in ISO 8601 with its zone, in epoch seconds. Raises ValueError with what is wrong."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text} is no time in ISO 8601, such as 2026-11-23T10:15:00Z") from error
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone; write {text}Z for UTC, or its offset such as {text}+02:00")
    return found.timestamp()


def when(stamp: float) -> str:
    """A moment, for people."""
    return time.strftime(STAMP, time.gmtime(stamp))


def described(
    repositories: Sequence[Repository],
    archiver: Mapping[str, Any] | None,
    drill: Mapping[str, Any] | None,
    wrong: Sequence[str],
    now: float,
) -> list[str]:
    """The status for people, a line each."""
    lines = []
    for repository in repositories:
        newest = repository.newest
        about = (
            f"{len(repository.backups)} backups, {repository.stored / 2**20:.1f} MiB; newest {newest.label} "
            f"({(now - newest.ended) / HOUR:.1f} h old)"
            + (f"; WAL up to {repository.last_wal}" if repository.last_wal else "")
            if newest
            else "no backup"
        )
        lines.append(f"{repository.name:<10} {about}")
    if archiver:
        shipped = when(archiver["archived_at"]) if archiver["archived_at"] else "not since the server started"
        lines.append(f"{'archiver':<10} {archiver['waiting']} files wait; last one {shipped}")
    if drill:
        lines.append(f"{'drill':<10} {drill['verdict']}, {when(drill['begun'])}: {drill['reason']}")
    return [*lines, *(f"WRONG: {line}" for line in wrong), "" if wrong else "all is well"]


def told(runs: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """What a program answers to the results of backups, by repository: ``{ok, message, begun, ended}`` each."""
    lines = [
        f"{name}: backed up in {run['ended'] - run['begun']:.1f} s"
        if run["ok"]
        else f"{name}: FAILED: {run['message']}"
        for name, run in runs.items()
    ]
    return int(not all(run["ok"] for run in runs.values())), {"lines": lines, "runs": dict(runs)}


def metrics(
    repositories: Sequence[Repository],
    archiver: Mapping[str, Any] | None,
    runs: Mapping[str, Any],
    wrong: Sequence[str],
    now: float,
) -> str:
    """The status as the node exporter's textfile collector reads it. Moments instead of ages: these go on growing by themselves."""
    lines: list[str] = []
    for repository in repositories:
        label = f'{{repository="{repository.name}"}}'
        run = runs.get(repository.name)
        good = repository.failure is None and repository.newest is not None and (run is None or run["ok"])
        lines.append(f"sluice_backup_success{label} {int(good)}")
        if repository.newest and repository.newest_full:
            lines.append(f"sluice_backup_last_timestamp_seconds{label} {repository.newest.ended:.0f}")
            lines.append(f"sluice_backup_last_full_timestamp_seconds{label} {repository.newest_full.ended:.0f}")
        lines.append(f"sluice_backup_stored_bytes{label} {repository.stored}")
    if archiver:
        lines.append(f"sluice_backup_wal_waiting_files {archiver['waiting']}")
        lines.append(f"sluice_backup_wal_archived_timestamp_seconds {archiver['archived_at'] or 0:.0f}")
        lines.append(f"sluice_backup_wal_failed_timestamp_seconds {archiver['failed_at'] or 0:.0f}")
    lines.append(f"sluice_backup_problems {len(wrong)}")
    lines.append(f"sluice_backup_looked_timestamp_seconds {now:.0f}")
    return exposition(lines)


def drill_metrics(drill: Mapping[str, Any]) -> str:
    """A drill's record as the node exporter's textfile collector reads it; what was not measured is not there."""
    lines = [
        f"sluice_backup_drill_proved {int(drill['verdict'] == 'proved')}",
        f"sluice_backup_drill_timestamp_seconds {drill['begun']:.0f}",
    ]
    for name in ("rto_seconds", "rpo_seconds"):
        if drill[name] is not None:
            lines.append(f"sluice_backup_drill_{name} {drill[name]:.3f}")
    return exposition(lines)


def exposition(lines: Sequence[str]) -> str:
    """Samples with the type each metric has to have, once."""
    text, seen = [], set()
    for line in lines:
        name = line.partition("{")[0].partition(" ")[0]
        if name not in seen:
            seen.add(name)
            text.append(f"# TYPE {name} gauge")
        text.append(line)
    return "\n".join(text) + "\n"
