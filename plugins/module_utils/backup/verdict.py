# SPDX-License-Identifier: Apache-2.0
"""The verdict of a restore drill, whatever made the backup: one of three, and what could not be tried is not proved."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    DRILL_RECORD,
    STATE,
    HostError,
    as_postgres,
    free_bytes,
    sql,
)
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, write_json

PROVED, FAILED, COULD_NOT_RUN = "proved", "failed", "could not run"
RECORD = DRILL_RECORD
EXIT = {PROVED: 0, FAILED: 1, COULD_NOT_RUN: 2}
# Beside the database's own size: what a recovery writes, and what the file system needs for itself.
ROOM_FACTOR, ROOM_BYTES = 1.2, 512 * 2**20


class Broken(Exception):
    """The backup cannot be restored, or what came out of it is not right."""


class Prevented(Exception):
    """The drill could not be tried; nothing is known about the backup."""


def judged(
    host: Mapping[str, Any], name: str, attempt: Callable[[Mapping[str, Any], str, dict[str, Any]], None]
) -> dict[str, Any]:
    """Have ``attempt`` restore the newest backup of the repository called ``name``; the record, which is also kept on the host.

    ``attempt`` adds to the record what it measures, and raises Broken or Prevented.
    """
    record: dict[str, Any] = {
        "repository": name,
        "begun": time.time(),
        "backup": None,
        "size": None,
        "rto_seconds": None,
        "rpo_seconds": None,
        "amcheck_seconds": None,
        "timeline": None,
        "lsn": None,
        "checks": [],
    }
    with locked(os.path.join(STATE, "drill.lock")):
        try:
            attempt(host, name, record)
            record |= {
                "verdict": PROVED,
                "reason": f"{record['backup']} from {name} restored in {record['rto_seconds']:.1f} s, "
                f"{record['rpo_seconds']:.1f} s of changes lost, {len(record['checks'])} checks passed",
            }
        except Broken as error:
            record |= {"verdict": FAILED, "reason": str(error)}
        except (Prevented, HostError, OSError) as error:
            record |= {"verdict": COULD_NOT_RUN, "reason": str(error)}
        finally:
            backup_scratch.remove(backup_scratch.at(host, host["drill_directory"]))
        record["ended"] = time.time()
        write_json(RECORD, record)
    return record


def require_disk_space(folder: str, needed: int) -> None:
    """Raise Prevented unless ``needed`` bytes are free where the scratch cluster goes."""
    free = free_bytes(folder)
    if free < needed:
        raise Prevented(
            f"drill_directory {folder} has {free / 2**30:.1f} GiB free and the drill needs {needed / 2**30:.1f}; "
            "make room, or set backup_drill_directory to a larger file system"
        )


def measure_loss(scratch: Mapping[str, Any], record: dict[str, Any], until: float) -> None:
    """Measure how long before ``until`` (epoch seconds) the restored data ends, by its heartbeat. Raises Broken or HostError."""
    there = sql(scratch, "select to_regclass('sluice.heartbeat') is not null") == "t"
    beat = sql(scratch, "select extract(epoch from beat) from sluice.heartbeat") if there else ""
    if not beat:
        raise Broken("the restored data has no heartbeat, so nobody knows what was lost; is sluice-heartbeat running?")
    record["rpo_seconds"] = max(0.0, until - float(beat))


def look_through(scratch: Mapping[str, Any], record: dict[str, Any]) -> None:
    """Look for damage in the restored data, and ask it the checks. Raises Broken or HostError."""
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
        raise Broken(f"pg_amcheck found damage in the restored data: {done.said.splitlines()[0]}")
    for check in scratch["drill_checks"]:
        try:
            answer = sql(scratch, check["query"], check["database"], scratch["drill_seconds"])
        except HostError as error:
            answer = str(error)
        record["checks"].append({"name": check["name"], "passed": answer == "t"})
        if answer != "t":
            raise Broken(f"check {check['name']} in {check['database']}: the answer is {answer!r} and not true")
