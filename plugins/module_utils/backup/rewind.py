# SPDX-License-Identifier: Apache-2.0
"""Back to a release's restore point, with the rows counted first that this undoes. See docs/decisions/0015-rewind-the-cluster-that-was-counted.md.

A backup is restored beside the live cluster and held at the restore point, where it can be asked and not written to. What was compared is what
becomes the live cluster: it is stopped, moved, started, and only then opens for writing, on a timeline of its own.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import closed as backup_closed
from ansible_collections.sluice.stack.plugins.module_utils.backup import compare as backup_compare
from ansible_collections.sluice.stack.plugins.module_utils.backup import pgbackrest, restore, restore_point, row_diff
from ansible_collections.sluice.stack.plugins.module_utils.backup import restore_plan as plans
from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STATE,
    HostError,
    control_data,
    free_bytes,
    sql,
    systemctl,
)
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, sync_directory, write_json

RECORD = os.path.join(STATE, "rewind.json")
LOCK = "drill.lock"
Host = Mapping[str, Any]


def compare(host: Host, point: str, name: str, keep: bool) -> dict[str, Any]:
    """Count what a rewind to ``point`` would undo; changes nothing. Raises plans.Refused or HostError.

    ``keep`` leaves the scratch cluster, stopped, for the rewind.
    """
    with locked(os.path.join(STATE, LOCK)):
        done = _done(host, point) or _half_done(point)
        if done:
            return done
        try:
            record = {**_bring_up(host, point, name), **_counted(host)}
        except BaseException:
            backup_scratch.remove(_scratch(host))
            raise
        if keep:
            backup_scratch.stop(_scratch(host))
        else:
            backup_scratch.remove(_scratch(host))
        return record


def rewind(host: Host, point: str, name: str, confirmed: str) -> dict[str, Any]:
    """Count what is undone and go back; the record, which is also kept. Raises plans.Refused, backup_restore.NotConfirmed or HostError.

    One that was killed goes on where it was; one that was done is not done again.
    """
    if confirmed != point:
        raise restore.NotConfirmed(
            f"confirmed is {confirmed}, and the restore point is {point}: confirm with the name of the release that shall be undone"
        )
    # What would be waited for.
    backup_closed.stop_jobs()
    with locked(os.path.join(STATE, LOCK)):
        record = _done(host, point)
        if record:
            return record
        if not _half_done(point):
            _close_and_count(host, point, name)
        return _go_over(host)


def reopen(host: Host) -> bool:
    """Let everybody in again after a rewind that was killed before it moved anything; whether that was so. Raises HostError."""
    with locked(os.path.join(STATE, LOCK)):
        if _moved():
            raise HostError(_stands_between("the data has been moved already"))
        closed = backup_closed.is_closed(host)
        if closed:
            backup_closed.reopen(host)
        backup_scratch.remove(_scratch(host))
        return closed


def _scratch(host: Host) -> dict[str, Any]:
    # Beside the live data: going over is a rename.
    return backup_scratch.at(host, f"{host['data']}.rewind")


def _known(scratch: Host) -> str:
    """What is known of the scratch cluster; it is beside it, and goes with it."""
    return os.path.join(scratch["socket"], "known.json")


def _aside(host: Host, point: str) -> str:
    return f"{host['data']}.before-{point}"


def _done(host: Host, point: str) -> dict[str, Any] | None:
    """The record of this very rewind, when the live cluster is what came of it."""
    record: dict[str, Any] = read_json(RECORD, {})
    if record.get("point") != point or "new_timeline" not in record or not os.path.exists(record["aside"]):
        return None
    return {**record, "already": True} if restore.timeline(host) == record["new_timeline"] else None


def _moved() -> bool:
    """Whether a rewind has moved the live data aside and did not end."""
    record = read_json(RECORD, {})
    return "new_timeline" not in record and "aside" in record and os.path.exists(record["aside"])


def _half_done(point: str) -> dict[str, Any] | None:
    """The record of this very rewind, when it has moved the live data aside and did not end. Raises HostError for another one's."""
    if not _moved():
        return None
    record: dict[str, Any] = read_json(RECORD)
    if record["point"] != point:
        raise HostError(_stands_between(f"a rewind to {record['point']} is under way"))
    return {**record, "half_done": True}


def _bring_up(host: Host, point: str, name: str) -> dict[str, Any]:
    """Have the scratch cluster held at ``point``: the one that was kept, or a new one. What is known of it."""
    if not restore_point.NAME.fullmatch(point):
        raise plans.Refused(f"restore point {point!r}: a release's id is one, such as 20261122T231500Z-v1.4.2")
    if sql(host, "select pg_is_in_recovery()") == "t":
        raise HostError("this server is a standby: go back on its primary")
    if os.path.exists(_aside(host, point)):
        raise plans.Refused(
            f"{_aside(host, point)} is there: this was gone back from before; remove it when nobody needs it"
        )
    scratch = _scratch(host)
    kept: dict[str, Any] = read_json(_known(scratch), {})
    system = int(control_data(host, host["data"])["Database system identifier"])
    if (kept.get("point"), kept.get("system_id")) != (point, system):
        kept = _restored(host, scratch, plans.target("", point, time.time()), name, system)
        write_json(_known(scratch), kept)
    backup_scratch.stop(scratch)
    try:
        fetch = pgbackrest.fetch(scratch, kept["number"])
        backup_scratch.start_at(scratch, point, fetch, host["drill_seconds"])
    except backup_scratch.RecoveryFailed as error:
        raise HostError(f"{kept['repository']}, {kept['backup']}: {error}") from error
    return {**kept, "timeline": restore.timeline(host)}


def _restored(host: Host, scratch: Host, wanted: plans.Target, name: str, system: int) -> dict[str, Any]:
    begun = time.time()
    repository, backup = plans.choose(pgbackrest.repositories(host), wanted, name)
    if backup.system_id != system:
        raise plans.Refused(
            f"{repository.name}: backup {backup.label} is of another cluster (system {backup.system_id}) than the one here (system {system})"
        )
    restore.refuse_tablespaces(host)
    needed, free = restore.room(backup), free_bytes(os.path.dirname(host["data"]))
    if free < needed:
        raise plans.Refused(
            f"{os.path.dirname(host['data'])} has {free / 2**30:.1f} GiB free and the comparison needs {needed / 2**30:.1f} beside what is "
            "there; make room"
        )
    backup_scratch.remove(scratch)
    words = restore.recovery(host, repository.number, backup.label, wanted)
    try:
        pgbackrest.restore_beside(scratch, repository, *words, seconds=restore.RESTORE_SECONDS)
    except pgbackrest.RestoreFailed as error:
        raise HostError(f"{repository.name}: {error}") from error
    return {
        "point": wanted.value,
        "system_id": system,
        "repository": repository.name,
        "number": repository.number,
        "backup": backup.label,
        "restored_seconds": time.time() - begun,
    }


def _counted(host: Host) -> dict[str, Any]:
    begun = time.time()
    found = backup_compare.differences(_scratch(host), host)
    return {**found, "counted_at": begun, "count_seconds": time.time() - begun}


def _close_and_count(host: Host, point: str, name: str) -> None:
    """Have what is undone in the record, and nobody who could add to it. When that fails, everything is as it was."""
    try:
        record = _bring_up(host, point, name)
        begun = time.time()
        backup_closed.close(host)
        record |= {**_counted(host), "begun": begun, "aside": _aside(host, point)}
        write_json(RECORD, record)
    except BaseException as error:
        if backup_closed.is_closed(host):
            try:
                backup_closed.reopen(host)
            except HostError as closed:
                raise HostError(f"{error}. Nothing was changed, and {closed}. Then: sluice-backup reopen") from error
        else:
            backup_closed.start_units()
        backup_scratch.remove(_scratch(host))
        if isinstance(error, HostError):
            raise HostError(f"{error}. Nothing was changed, and the database takes connections") from error
        raise


def _go_over(host: Host) -> dict[str, Any]:
    """Make the scratch cluster the live one. Each step finds out whether it was done: a run that was killed is taken up here."""
    record: dict[str, Any] = read_json(RECORD)
    scratch, aside = _scratch(host), record["aside"]
    try:
        backup_scratch.stop(scratch)
        if not os.path.exists(aside):
            if systemctl("stop", host["unit"], seconds=backup_closed.STOP_SECONDS) or os.path.exists(
                os.path.join(host["data"], "postmaster.pid")
            ):
                raise HostError(f"{host['unit']} does not stop: systemctl status {host['unit']}")
            os.rename(host["data"], aside)
        if os.path.exists(scratch["data"]):
            os.rename(scratch["data"], host["data"])
        sync_directory(os.path.dirname(host["data"]))
        # Not before the data was moved: a reboot in between must not let anybody write to what was counted.
        backup_closed.open_files(host)
        restore.recover(host)
        record |= {"back": restore.down_required(aside, record["point"]), **restore.end(host)}
        if record["new_timeline"] <= record["timeline"]:
            raise HostError(f"the server runs on timeline {record['new_timeline']}, which is not new")
    except (HostError, OSError) as error:
        raise HostError(_stands_between(str(error))) from error
    record["seconds"] = time.time() - record["begun"]
    shutil.rmtree(scratch["socket"], ignore_errors=True)
    backup_closed.start_units()
    # Last: until this is written, the next run goes through the steps again.
    write_json(RECORD, record)
    return record


def _stands_between(why: str) -> str:
    """Why a rewind stands in the middle, and both ways out."""
    record = read_json(RECORD, {})
    point, aside = record.get("point"), record.get("aside", "")
    back = restore.down_required(aside, str(point)) if os.path.exists(aside) else "sluice-backup reopen"
    return f"{why}. To go on: sluice-backup rewind --point {point} --confirm {point}. To go back: {back}"


def described(record: Mapping[str, Any]) -> list[str]:
    """A comparison, or a rewind that was done, for people: a line each."""
    lines = [f"point     {record['point']}, from {record['repository']}, backup {record['backup']}"]
    if record.get("half_done"):
        return [
            *lines,
            *row_diff.described(record),
            "a rewind was cut short after this count; the same command goes on",
        ]
    if "new_timeline" not in record:
        return [*lines, *row_diff.described(record)]
    when = "before" if record.get("already") else f"in {record['seconds']:.1f} s"
    return [
        *lines,
        *row_diff.described(record),
        f"gone back to restore point {record['point']} {when}; the server takes writes on timeline {record['new_timeline']}",
        f"what was there before: {record['aside']}",
        f"to go back to it: {record['back']}",
    ]
