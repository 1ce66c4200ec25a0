# SPDX-License-Identifier: Apache-2.0
"""What each way to back a database up can do: pure decisions, plain data in and out.

A plan prints what the configured engine cannot do before anything relies on it, and an action the engine has no capability for is refused
before anything is touched. Another engine (a provider's snapshots) is one more entry of ENGINES and a program that carries it out.
"""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError
from ansible_collections.sluice.stack.plugins.module_utils.suggest import did_you_mean


class UnknownEngine(Exception):
    """No engine has this name."""


class NotCapable(HostError):
    """The engine cannot do what is asked; the message says why and what can be done instead."""


class Engine(NamedTuple):
    """What an engine can do."""

    name: str
    what: str  # one phrase for people
    backs_up: bool  # whether Sluice makes the backups and can restore them
    pitr: bool  # any moment, not only those at which a backup was made
    restore_point: str  # what naming a moment costs: "cheap", "backup" (a whole backup each time), "none" (cannot)
    continuous: bool  # changes are shipped between backups
    copies: bool  # a copy of the whole cluster can be brought up alongside the live one, and take its place


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("pgbackrest", "pgBackRest with WAL archiving", True, True, "cheap", True, True),
        Engine("pg_dump", "a logical dump of each database", True, False, "backup", False, False),
        Engine("external", "the database's provider", False, False, "none", False, False),
        Engine("none", "nobody", False, False, "none", False, False),
    )
}

# What an action needs: the attribute, and what to say when it is not there.
ACTIONS: dict[str, tuple[str, str]] = {
    "backup": ("backs_up", "its backups are not made from here"),
    "restore": ("backs_up", "its backups are not made from here"),
    "restore_to_time": ("pitr", "it can only restore moments at which a backup was made"),
    "restore_to_point": ("restore_point", "it cannot name a moment to restore"),
    "restore_point": ("restore_point", "it cannot name a moment to restore"),
    "drill": ("backs_up", "there is no backup that could be tried here"),
    "incremental": ("continuous", "each of its backups is a whole one"),
    "rehearsal": ("copies", "no copy of the cluster can be brought up from its backups"),
    "rewind": (
        "copies",
        "rows are counted and reverted with a copy of the cluster, which cannot be brought up from its backups",
    ),
}


def engine(name: str) -> Engine:
    """The engine called ``name``. Raises UnknownEngine."""
    if name not in ENGINES:
        raise UnknownEngine(f"backup_engine={name} is no backup engine; {did_you_mean(name, ENGINES)}")
    return ENGINES[name]


def can(chosen: Engine, action: str) -> bool:
    """Whether the engine can do ``action``, one of ACTIONS."""
    return getattr(chosen, ACTIONS[action][0]) not in (False, "none")


def require(chosen: Engine, action: str, asked_by: str = "") -> None:
    """Raise NotCapable unless the engine can do ``action``; ``asked_by`` is what asks for it, in words, else the action itself."""
    if not can(chosen, action):
        able = [name for name, other in ENGINES.items() if can(other, action)]
        raise NotCapable(
            f"{asked_by or action} refused: the data is backed up by {chosen.what} (backup_engine={chosen.name}), and {ACTIONS[action][1]}; "
            f"engines that can: {', '.join(able)}"
        )


def limits(chosen: Engine) -> list[str]:
    """What a plan prints of what the engine cannot do, a line each; empty when there is nothing to warn of."""
    if not chosen.backs_up:
        who = "its provider" if chosen.name == "external" else "nobody"
        return [
            f"the database is backed up by {who} (backup_engine={chosen.name}): no restore point before the migration, and no restore from here",
            "a rollback cannot bring back what a migration or this release changes in the data",
        ]
    lines = []
    if not chosen.continuous:
        lines.append(f"{chosen.what}: what was written since the last one would be lost with the host")
    if not chosen.pitr:
        lines.append("a restore goes to the moment of a backup, and to no other")
    if chosen.restore_point == "backup":
        lines.append(
            "a restore point is a whole backup, and takes as long as the database is large: a release makes one when app_backup.restore_point is true"
        )
    return lines
