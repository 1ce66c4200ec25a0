# SPDX-License-Identifier: Apache-2.0
"""A restore drill of a database, whatever made the backup: brought up alongside the live cluster, checked, measured, removed.

There are three verdicts; what could not be tried is not proved.
"""

from __future__ import annotations

import argparse
import os
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import program, status
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    DRILL_RECORD,
    STATE,
    HostError,
    Login,
    as_postgres,
    sql,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import TRANSIENT, RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, write_json
from ansible_collections.sluice.stack.plugins.module_utils.postgres.logins import identifier, verifier

PROVED, FAILED, COULD_NOT_RUN = status.PROVED, "failed", "could not run"
RECORD = DRILL_RECORD
EXIT = {PROVED: 0, FAILED: 1, COULD_NOT_RUN: 2}
Host = Mapping[str, Any]


class Broken(Exception):
    """The backup cannot be restored, or the restored data are not right."""


def command(commands: Any, trial: Callable[[Host, str, dict[str, Any]], None]) -> program.Command:
    """Add the command `drill` and return it. ``trial`` restores the newest backup of a repository: see ``run``."""
    parser = commands.add_parser(
        "drill", help="try a restore alongside the live cluster; exit code 1 failed, 2 could not run"
    )
    parser.add_argument("--repository", default="", help="from this one; else from the one in the settings")

    def answer(host: Host, asked: argparse.Namespace) -> program.Answer:
        names = [item["name"] for item in host["repositories"]]
        name = asked.repository or host["drill_repository"]
        if name not in names:
            raise HostError(f"there is no repository {name}; there are {', '.join(names)}")
        record = run(host, name, trial)
        program.publish(host, "sluice_backup_drill", metrics(record))
        return EXIT[record["verdict"]], {
            **record,
            "lines": [f"the restore drill {record['verdict']}: {record['reason']}"],
        }

    return answer


def run(host: Host, name: str, trial: Callable[[Host, str, dict[str, Any]], None]) -> dict[str, Any]:
    """Have ``trial`` restore the newest backup of the repository ``name``; the record, which is also kept on the host.

    ``trial`` adds to the record what it measures, and raises Broken, RepositoryError or HostError.
    """
    measured = ("backup", "size", "rto_seconds", "rpo_seconds", "amcheck_seconds", "timeline", "lsn")
    record: dict[str, Any] = {"repository": name, "begun": time.time(), **dict.fromkeys(measured), "checks": []}
    with locked(os.path.join(STATE, "drill.lock")):
        try:
            trial(host, name, record)
            record |= {
                "verdict": PROVED,
                "reason": f"{record['backup']} from {name} restored in {record['rto_seconds']:.1f} s, "
                f"{record['rpo_seconds']:.1f} s of changes lost, {len(record['checks'])} checks passed",
            }
        except Broken as error:
            record |= {"verdict": FAILED, "reason": str(error)}
        except RepositoryError as error:
            verdict = COULD_NOT_RUN if error.failure.kind in TRANSIENT else FAILED
            record |= {"verdict": verdict, "reason": f"{name}: {error}"}
        except (HostError, OSError) as error:
            record |= {"verdict": COULD_NOT_RUN, "reason": str(error)}
        finally:
            backup_scratch.remove(backup_scratch.at(host, host["drill_directory"]))
        record["ended"] = time.time()
        write_json(RECORD, record)
    return record


def observed(host: Host, now: float) -> tuple[list[str], list[str], dict[str, Any]]:
    """Return the problems and lines of the status that are about drills, and its data."""
    record = read_json(RECORD)
    lines = [f"{'drill':<10} {record['verdict']}, {status.when(record['begun'])}: {record['reason']}"] if record else []
    found = status.of_drill(host["drill_max_age_hours"], record, now)
    return [f"{line}; run playbooks/backup/drill.yml" for line in found], lines, {"drill": record}


def metrics(record: Mapping[str, Any]) -> str:
    """Return a drill's metrics; what was not measured is left out."""
    lines = [
        f"sluice_backup_drill_proved {int(record['verdict'] == PROVED)}",
        f"sluice_backup_drill_timestamp_seconds {record['begun']:.0f}",
    ]
    for name in ("rto_seconds", "rpo_seconds"):
        if record[name] is not None:
            lines.append(f"sluice_backup_drill_{name} {record[name]:.3f}")
    return status.exposition(lines)


def check(scratch: Host, record: dict[str, Any], until: float, setting: str) -> None:
    """Measure how long before ``until`` (epoch seconds) the restored data end, check them for damage, and run the checks.

    ``setting`` is the variable with the loss that is accepted. Raises Broken or HostError.
    """
    heartbeat = last_heartbeat(scratch)
    if heartbeat is None:
        raise Broken("the restored data have no heartbeat, so the loss is unknown; is sluice-heartbeat running?")
    record["rpo_seconds"] = lost = max(0.0, until - heartbeat)
    limit = scratch["drill_max_rpo_seconds"]
    if lost > limit:
        raise Broken(
            f"the restored data end {lost:.0f} s before the restore, more than {limit} s ({setting}): "
            "WAL or dumps do not arrive in time, or the heartbeat stands still"
        )
    begun = time.time()
    done = as_postgres(
        [
            f"/usr/lib/postgresql/{scratch['version']}/bin/pg_amcheck",
            *("--host", scratch["socket"], "--port", str(scratch["port"]), "--maintenance-db", "postgres"),
            *("--all", "--install-missing", "--heapallindexed"),
        ],
        timeout=scratch["drill_seconds"],
    )
    record["amcheck_seconds"] = time.time() - begun
    if done.code:
        raise Broken(f"pg_amcheck found damage in the restored data: {done.output.splitlines()[0]}")
    login = _checker(scratch) if scratch["drill_checks"] else None
    for item in scratch["drill_checks"]:
        try:
            sql(scratch, f"grant connect on database {identifier(item['database'])} to {backup_scratch.CHECKER}")
            answer = sql(scratch, item["query"], item["database"], scratch["drill_seconds"], login)
        except HostError as error:
            answer = str(error)
        record["checks"].append({"name": item["name"], "passed": answer == "t"})
        if answer != "t":
            raise Broken(f"check {item['name']} in {item['database']}: the answer is {answer!r} and not true")


def _checker(scratch: Host) -> Login:
    """Have a role that reads everything and can do nothing else: a check runs what the app put into its database, such as views."""
    login = Login(backup_scratch.CHECKER, secrets.token_hex(24))
    kept = verifier(login.password, os.urandom(16))
    sql(
        scratch,
        f"create role {login.user} login bypassrls password '{kept}'; grant pg_read_all_data to {login.user}",
    )
    return login


def standby(host: Host) -> str:
    """Return why a standby is not backed up; empty for a primary. Raises HostError."""
    return "a standby: its primary is backed up" if sql(host, "select pg_is_in_recovery()") == "t" else ""


def last_heartbeat(server: Host) -> float | None:
    """Return the moment of the last heartbeat in a server's data, None where there is none. Raises HostError."""
    there = sql(server, "select to_regclass('sluice.heartbeat') is not null") == "t"
    beat = sql(server, "select extract(epoch from beat) from sluice.heartbeat") if there else ""
    return float(beat) if beat else None
