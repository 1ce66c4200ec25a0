# SPDX-License-Identifier: Apache-2.0
"""The plan of a restore, whatever made the backup: from which one, to which moment, and what is printed before. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import Backup, Repository
from ansible_collections.sluice.stack.plugins.module_utils.backup.status import moment_of, when

# Release ids begin with the moment of their run.
_STAMP = re.compile(r"^(\d{8}T\d{6}Z)\b")

# The name of a restore point goes into queries and commands; PostgreSQL keeps at most 63 characters.
POINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")


class Refused(HostError):
    """The requested restore cannot be done; the message says what can."""


class Target(NamedTuple):
    """What a restore goes to: ``kind`` is latest, time or point; ``moment`` is epoch seconds, None for latest."""

    kind: str
    value: str
    moment: float | None


def target(time: str, point: str, now: float) -> Target:
    """Return the target: a ``time`` in ISO 8601 with its zone, a restore ``point`` by name, or neither. Raises Refused."""
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
                "so the backup to start from is unknown; restore to a time"
            )
        begun = datetime.strptime(stamp[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        return Target("point", point, begun)
    return Target("latest", "", None)


def require_point(name: str) -> None:
    """Raise Refused unless ``name`` can be a restore point's."""
    if not POINT.fullmatch(name):
        raise Refused(
            f"restore point {name!r}: a name is up to 63 letters, digits, dots and dashes, such as 20261122T231500Z-v1.4.2"
        )


def choose(
    repositories: Sequence[Repository], name: str, fits: Callable[[Backup], bool], what: str
) -> tuple[Repository, Backup]:
    """Return the newest backup that ``fits``, from the repository ``name`` or, when empty, the first that has one. Raises Refused.

    ``what`` names the backup in the message when there is none.
    """
    named = [item for item in repositories if name in ("", item.name)]
    if not named:
        raise Refused(f"there is no repository {name}; there are {', '.join(item.name for item in repositories)}")
    why = []
    for repository in named:
        fit = [item for item in repository.backups if fits(item)]
        if fit:
            return repository, fit[-1]
        if repository.failure:
            why.append(f"{repository.name}: {repository.failure.message}")
        elif repository.backups:
            why.append(f"{repository.name}: its oldest backup is of {when(repository.backups[0].ended)}")
        else:
            why.append(f"{repository.name}: it holds no backup")
    raise Refused(f"there is no {what}: {'; '.join(why)}")


def identity(facts: Mapping[str, Any]) -> str:
    """Return the id that confirms a plan: the same facts, the same id."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]


def require_confirmed(plan: Mapping[str, Any], confirmed: str, variable: str) -> None:
    """Raise Refused unless ``confirmed``, which playbooks take from ``variable``, is the id of the plan."""
    if plan["id"] != confirmed:
        raise Refused(
            f"{variable}={confirmed} is not the plan, which is {plan['id']}: something has changed since, or it is another plan's id; "
            f"read the plan, then confirm with -e {variable}={plan['id']}"
        )


def described(plan: Mapping[str, Any], origin: str, to: str, *more: str) -> list[str]:
    """Return a plan for people, a line each. ``space`` of the plan are the results of host.require_space."""
    return [
        f"restore   {plan['summary']}",
        f"from      {origin}",
        f"to        {to}",
        *more,
        *(
            f"space     {item['needed'] / 2**30:.2f} GiB needed in {item['folder']}, {item['free'] / 2**30:.2f} GiB free"
            for item in plan["space"]
        ),
        f"lost      {plan['lost']}",
        f"confirm   {plan['id']}",
    ]
