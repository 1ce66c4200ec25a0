# SPDX-License-Identifier: Apache-2.0
"""What a restore would do: pure decisions about which backup goes back to which moment, and what people are told before."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import moment_of, when

# Release ids begin with the moment of their run.
_STAMP = re.compile(r"^(\d{8}T\d{6}Z)\b")


class Refused(Exception):
    """The restore that is asked for cannot be done; the message says what can."""


class Target(NamedTuple):
    """What to go back to: ``kind`` is latest, time or point; ``moment`` is epoch seconds, None for latest."""

    kind: str
    value: str
    moment: float | None

    @property
    def words(self) -> str:
        """For people."""
        if self.kind == "time":
            return f"time {when(self.moment or 0)}"
        return "the last change in the archive" if self.kind == "latest" else f"restore point {self.value}"


def target(time: str, point: str, now: float) -> Target:
    """The target that was asked for: a ``time`` in ISO 8601 with its zone, a restore ``point`` by name, or neither. Raises Refused."""
    if time and point:
        raise Refused("both a time and a restore point are named; name one")
    if time:
        try:
            moment = moment_of(time)
        except ValueError as error:
            raise Refused(str(error)) from error
        if moment > now:
            raise Refused(f"{time} is in the future")
        return Target("time", datetime.fromtimestamp(moment, UTC).isoformat(sep=" "), moment)
    if point:
        stamp = _STAMP.match(point)
        if not stamp:
            raise Refused(
                f"restore point {point}: its name does not begin with its time, as a release's does (20261122T231500Z-v1.4.2), "
                "so nobody knows from which backup to go there; restore to a time"
            )
        begun = datetime.strptime(stamp[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        return Target("point", point, begun)
    return Target("latest", "", None)


def choose(repositories: Sequence[Repository], wanted: Target, name: str) -> tuple[Repository, Backup]:
    """The repository called ``name`` (or the first that has what is needed, when empty) and the backup to begin with. Raises Refused."""
    why = []
    for repository in repositories:
        if name and repository.name != name:
            continue
        if repository.failure:
            why.append(f"{repository.name}: {repository.failure.message}")
            continue
        fit = [item for item in repository.backups if wanted.moment is None or item.ended <= wanted.moment]
        if fit:
            return repository, fit[-1]
        oldest = when(repository.backups[0].ended) if repository.backups else "never"
        why.append(f"{repository.name}: its oldest backup ended at {oldest}")
    if not why:
        raise Refused(
            f"there is no repository {name}; there are {', '.join(item.name for item in repositories) or 'none'}"
        )
    raise Refused(f"nothing goes back to {wanted.words}: {'; '.join(why)}")


def identity(facts: Mapping[str, Any]) -> str:
    """What confirms a plan: the same facts, the same id."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]


def pgbackrest_arguments(wanted: Target) -> list[str]:
    """How pgBackRest is told the target; the server opens for writing when it is reached."""
    kinds = {"latest": [], "time": ["--type=time"], "point": ["--type=name"]}
    more = ["--target-action=promote", f"--target={wanted.value}"] if wanted.kind != "latest" else []
    return [*kinds[wanted.kind], *more]


def described(plan: Mapping[str, Any]) -> list[str]:
    """A plan for people, a line each."""
    here = plan["here"]
    if here["system_id"] is None:
        now = "there is no cluster in it"
    elif here["system_id"] != plan["system_id"]:
        now = f"another cluster (system {here['system_id']}) is in it; it is moved aside to {plan['aside']}"
    else:
        now = f"what is in it is moved aside to {plan['aside']}"
    return [
        f"restore   {plan['words']}",
        f"from      {plan['repository']}, backup {plan['backup']} of {when(plan['backup_ended'])}, system {plan['system_id']}, "
        f"{plan['size'] / 2**20:.1f} MiB; WAL up to {plan['last_wal']}",
        f"to        {plan['data']} on {plan['host']}: {now}",
        f"room      {plan['needed'] / 2**30:.1f} GiB needed, {plan['free'] / 2**30:.1f} GiB free",
        f"lost      {plan['lost']}",
        f"confirm   {plan['id']}",
    ]


def lost(wanted: Target, last_wal: str | None, archived_at: float | None, running: bool, same: bool, now: float) -> str:
    """What the restored data will not have, in one phrase. ``archived_at`` is when the server last shipped WAL, None when it does not say."""
    if wanted.kind == "time":
        return f"all changes of the last {(now - (wanted.moment or now)) / 60:.1f} minutes"
    if wanted.kind == "point":
        return f"all changes since the restore point, which was set after {when(wanted.moment or 0)}"
    if running and same:
        return "nothing: the server ships what it has before it is stopped"
    since = f", shipped {now - archived_at:.0f} s ago" if archived_at else ""
    return f"changes after the last WAL file in the archive, {last_wal}{since}"
