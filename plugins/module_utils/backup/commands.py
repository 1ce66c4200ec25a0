# SPDX-License-Identifier: Apache-2.0
"""The backup program's commands that are the same whatever makes the backups; an engine hands in how it looks and how it tries a restore."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import status as backup_status
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import HostError, sql
from ansible_collections.sluice.stack.plugins.module_utils.backup.verdict import EXIT
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.program import Answer, Command

Host = Mapping[str, Any]


def parser(description: str) -> tuple[argparse.ArgumentParser, Any]:
    """The parser of the program's words, and where an engine adds commands of its own to those that all have."""
    words = argparse.ArgumentParser(prog="sluice-backup", description=description)
    words.add_argument("--json", action="store_true", help="answer in JSON")
    commands = words.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "status", help="what there is and what is wrong; writes the metrics; exit code 1 when something is wrong"
    )
    drill = commands.add_parser(
        "drill", help="try a restore beside the live cluster; exit code 1 failed, 2 could not run"
    )
    drill.add_argument("--repository", default="", help="from this one; else from the one that settings name")
    return words, commands


def names(host: Host) -> list[str]:
    """The repositories' names, in the order of their numbers."""
    return [item["name"] for item in host["repositories"]]


def publish(host: Host, name: str, text: str) -> None:
    """Put metrics where the node exporter's textfile collector reads them."""
    write_atomic(os.path.join(host["textfile"], f"{name}.prom"), text, mode=0o644)


def status(look: Callable[[Host], dict[str, Any]]) -> Command:
    """What there is and what is wrong, as ``look`` says."""

    def run(host: Host, _unused: argparse.Namespace) -> Answer:
        found = look(host)
        return int(bool(found["wrong"])), found

    return run


def drill(attempt: Callable[[Host, str], dict[str, Any]]) -> Command:
    """Try a restore, by ``attempt``, whose record has a ``verdict``."""

    def run(host: Host, asked: argparse.Namespace) -> Answer:
        name = asked.repository or host["drill_repository"]
        if name not in names(host):
            raise HostError(f"there is no repository {name}; there are {', '.join(names(host))}")
        record = attempt(host, name)
        publish(host, "sluice_backup_drill", backup_status.drill_metrics(record))
        line = f"the restore drill {record['verdict']}: {record['reason']}"
        return EXIT[record["verdict"]], {**record, "lines": [line]}

    return run


def on_primary(command: Command) -> Command:
    """The command, where the server is no standby: that is backed up where its primary is."""

    def run(host: Host, asked: argparse.Namespace) -> Answer:
        if sql(host, "select pg_is_in_recovery()") == "t":
            return 0, {"lines": ["a standby: its primary is backed up"]}
        return command(host, asked)

    return run
