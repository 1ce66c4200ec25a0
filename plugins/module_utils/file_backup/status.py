# SPDX-License-Identifier: Apache-2.0
"""Whether the backups of files are well: pure judgement of what was observed, and its text for people and for the node exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.status import HOUR, exposition, when
from ansible_collections.sluice.stack.plugins.module_utils.restic_output import Snapshot


class Seen(NamedTuple):
    """A repository as it answered: its snapshots, oldest first; ``failure`` is a line when it could not be asked."""

    name: str
    failure: str
    snapshots: tuple[Snapshot, ...]

    def of(self, source: str) -> tuple[Snapshot, ...]:
        """The snapshots of one source."""
        return tuple(item for item in self.snapshots if item.source == source)


def judge(
    host: Mapping[str, Any], seen: Sequence[Seen], runs: Mapping[str, Any], checks: Mapping[str, Any], now: float
) -> list[str]:
    """What is wrong, a line each; empty when all is well.

    ``runs`` is the last backup's ``{ok, message, ended, size}`` by repository and source; ``checks`` the last check's
    ``{ok, message, begun, ended, since}`` by repository, where ``since`` is when the repository was first known.
    """
    wrong = []
    for repository in seen:
        if repository.failure:
            wrong.append(f"{repository.name}: {repository.failure}")
        for source in host["sources"]:
            run = runs.get(repository.name, {}).get(source["name"])
            wrong += _of_source(host, repository, source["name"], run, now)
        wrong += _of_check(host, repository.name, checks.get(repository.name), now)
    return wrong


def _of_source(host: Mapping[str, Any], repository: Seen, source: str, run: Any, now: float) -> list[str]:
    where = f"{repository.name}: {source}"
    wrong = []
    if run and not run["ok"]:
        wrong.append(f"{where}: the last backup ({when(run['ended'])}) failed: {run['message']}")
    if repository.failure:
        return wrong
    mine = repository.of(source)
    if not mine:
        return wrong or [f"{where}: there is no backup yet"]
    hours, limit = (now - mine[-1].moment) / HOUR, host["max_age_hours"]
    if hours > limit:
        wrong.append(
            f"{where}: the newest backup is {hours:.0f} h old, more than {limit} h (is its timer running? systemctl list-timers)"
        )
    return wrong


def _of_check(host: Mapping[str, Any], name: str, check: Any, now: float) -> list[str]:
    limit = host["check_max_age_hours"]
    if not check:
        return []
    if check["ended"] is not None and not check["ok"]:
        return [f"{name}: the last check ({when(check['ended'])}) failed: {check['message']}"]
    hours = (now - (check["ended"] if check["ended"] is not None else check["since"])) / HOUR
    return [f"{name}: nothing of it was read again for {hours:.0f} h, more than {limit} h"] if hours > limit else []


def described(
    host: Mapping[str, Any], seen: Sequence[Seen], runs: Mapping[str, Any], wrong: Sequence[str], now: float
) -> list[str]:
    """The status for people, a line each."""
    lines = []
    for repository in seen:
        for source in host["sources"]:
            mine = repository.of(source["name"])
            size = size_of(mine, runs.get(repository.name, {}).get(source["name"]))
            about = (
                f"{len(mine)} snapshots; newest {mine[-1].id[:8]} ({(now - mine[-1].moment) / HOUR:.1f} h old"
                + (f", {size / 2**20:.1f} MiB)" if size is not None else ")")
                if mine
                else "no snapshot"
            )
            lines.append(f"{repository.name:<10} {source['name']:<24} {about}")
    return [*lines, *(f"WRONG: {line}" for line in wrong), "" if wrong else "all is well"]


def size_of(snapshots: Sequence[Snapshot], run: Any) -> int | None:
    """The bytes of the newest snapshot's files, from itself or from the run that made it."""
    if not snapshots:
        return None
    newest = snapshots[-1]
    if newest.size is None and run and run.get("snapshot") and newest.id.startswith(run["snapshot"]):
        return int(run["size"])
    return newest.size


def metrics(
    host: Mapping[str, Any],
    seen: Sequence[Seen],
    runs: Mapping[str, Any],
    checks: Mapping[str, Any],
    wrong: Sequence[str],
    now: float,
) -> str:
    """The status as the node exporter's textfile collector reads it. Moments instead of ages: these go on growing by themselves."""
    lines: list[str] = []
    for repository in seen:
        for source in host["sources"]:
            label = f'{{repository="{repository.name}",source="{_escaped(source["name"])}"}}'
            mine, run = repository.of(source["name"]), runs.get(repository.name, {}).get(source["name"])
            good = not repository.failure and bool(mine) and (run is None or run["ok"])
            lines.append(f"sluice_files_success{label} {int(good)}")
            if mine:
                lines.append(f"sluice_files_last_timestamp_seconds{label} {mine[-1].moment:.0f}")
                lines.append(f"sluice_files_snapshots{label} {len(mine)}")
            size = size_of(mine, run)
            if size is not None:
                lines.append(f"sluice_files_size_bytes{label} {size}")
        check = checks.get(repository.name)
        if check and check["ended"] is not None:
            label = f'{{repository="{repository.name}"}}'
            lines.append(f"sluice_files_check_success{label} {int(check['ok'])}")
            lines.append(f"sluice_files_check_timestamp_seconds{label} {check['ended']:.0f}")
            if check["stored"] is not None:
                lines.append(f"sluice_files_stored_bytes{label} {check['stored']}")
    lines.append(f"sluice_files_problems {len(wrong)}")
    lines.append(f"sluice_files_looked_timestamp_seconds {now:.0f}")
    return exposition(sorted(lines))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
