# SPDX-License-Identifier: Apache-2.0
"""A rewind to a release's restore point, which first counts the rows it reverts. See docs/decisions/0015-rewind-the-cluster-that-was-counted.md.

A backup is restored alongside the live cluster and held at the restore point, where it can be queried and not written to. The compared cluster
is the one that becomes live: it is stopped, moved, started, and only then takes writes, on a timeline of its own.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import scratch as backup_scratch
from ansible_collections.sluice.stack.plugins.module_utils.backup import write_lock
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STATE,
    HostError,
    control_data,
    sql,
    stop_unit,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.repository import RepositoryError
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import (
    Refused,
    Target,
    require_point,
    target,
)
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, read_json, sync_directory, write_json
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import client, restore, row_diff
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import compare as rows

RECORD = os.path.join(STATE, "rewind.json")
LOCK = "drill.lock"
Host = Mapping[str, Any]


def compare(host: Host, point: str, name: str, keep: bool) -> dict[str, Any]:
    """Count what a rewind to ``point`` would revert; changes nothing. Raises Refused or HostError.

    ``keep`` leaves the scratch cluster, stopped, for the rewind.
    """
    with locked(os.path.join(STATE, LOCK)):
        done = _done(host, point) or _interrupted(point)
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
    """Count what is reverted and rewind; the record, which is also kept. Raises Refused or HostError.

    One that was killed is continued; one that was done is not done again.
    """
    if confirmed != point:
        raise Refused(
            f"confirmed is {confirmed}, and the restore point is {point}: confirm with the id of the release to revert"
        )
    # A backup or drill that runs would be waited for.
    write_lock.stop_jobs()
    with locked(os.path.join(STATE, LOCK)):
        record = _done(host, point)
        if record:
            return record
        if not _interrupted(point):
            _lock_and_count(host, point, name)
        return _switch(host)


def unlock(host: Host) -> bool:
    """End the write lock of a rewind that was killed before it moved anything; return whether there was one. Raises HostError."""
    with locked(os.path.join(STATE, LOCK)):
        if _moved():
            raise HostError(_interrupted_error("the data have been moved already"))
        was_locked = write_lock.is_locked(host)
        if was_locked:
            write_lock.unlock(host)
        backup_scratch.remove(_scratch(host))
        return was_locked


def _scratch(host: Host) -> dict[str, Any]:
    # Next to the live data: the switch is a rename.
    return backup_scratch.at(host, f"{host['data']}.rewind")


def _known(scratch: Host) -> str:
    """The file with what is known of the scratch cluster; it is removed with it."""
    return os.path.join(scratch["socket"], "known.json")


def _aside(host: Host, point: str) -> str:
    return f"{host['data']}.before-{point}"


def _done(host: Host, point: str) -> dict[str, Any] | None:
    """The record of this very rewind, when the live cluster is its result."""
    record: dict[str, Any] = read_json(RECORD, {})
    if record.get("point") != point or "new_timeline" not in record or not os.path.exists(record["aside"]):
        return None
    return {**record, "already": True} if restore.timeline(host) == record["new_timeline"] else None


def _moved() -> bool:
    """Whether a rewind has moved the live data aside and did not end."""
    record = read_json(RECORD, {})
    return "new_timeline" not in record and "aside" in record and os.path.exists(record["aside"])


def _interrupted(point: str) -> dict[str, Any] | None:
    """The record of this very rewind, when it has moved the live data aside and did not end. Raises HostError for another one's."""
    if not _moved():
        return None
    record: dict[str, Any] = read_json(RECORD)
    if record["point"] != point:
        raise HostError(_interrupted_error(f"a rewind to {record['point']} is under way"))
    return {**record, "interrupted": True}


def _bring_up(host: Host, point: str, name: str) -> dict[str, Any]:
    """Have the scratch cluster held at ``point``: the one that was kept, or a new one; return what is known of it."""
    require_point(point)
    if sql(host, "select pg_is_in_recovery()") == "t":
        raise HostError("this server is a standby: rewind on its primary")
    if os.path.exists(_aside(host, point)):
        raise Refused(f"{_aside(host, point)} exists: this rewind was done before; remove it when nobody needs it")
    scratch = _scratch(host)
    kept: dict[str, Any] = read_json(_known(scratch), {})
    system = int(control_data(host, host["data"])["Database system identifier"])
    if (kept.get("point"), kept.get("system_id")) != (point, system):
        kept = _restored(host, scratch, target("", point, time.time()), name, system)
        write_json(_known(scratch), kept)
    backup_scratch.stop(scratch)
    try:
        fetch = client.fetch(scratch, kept["number"])
        backup_scratch.start_at(scratch, point, fetch, host["drill_seconds"])
    except backup_scratch.RecoveryFailed as error:
        raise HostError(f"{kept['repository']}, {kept['backup']}: {error}") from error
    return {**kept, "timeline": restore.timeline(host)}


def _restored(host: Host, scratch: Host, point: Target, name: str, system: int) -> dict[str, Any]:
    begun = time.time()
    repository, backup = restore.choose(host, point, name)
    if backup.system_id != system:
        raise Refused(
            f"{repository.name}: backup {backup.label} is of another cluster (system {backup.system_id}) than the one here (system {system})"
        )
    restore.refuse_tablespaces(host)
    restore.require_restore_space(host, backup, "the comparison")
    backup_scratch.remove(scratch)
    words = restore.recovery(host, repository.number, backup.label, point.kind, point.value)
    try:
        client.restore_alongside(scratch, repository, *words, seconds=restore.RESTORE_SECONDS)
    except RepositoryError as error:
        raise HostError(f"{repository.name}: {error}") from error
    return {
        "point": point.value,
        "system_id": system,
        "repository": repository.name,
        "number": repository.number,
        "backup": backup.label,
        "restored_seconds": time.time() - begun,
    }


def _counted(host: Host) -> dict[str, Any]:
    begun = time.time()
    found = rows.differences(_scratch(host), host)
    return {**found, "counted_at": begun, "count_seconds": time.time() - begun}


def _lock_and_count(host: Host, point: str, name: str) -> None:
    """Lock the database and record what is reverted. On failure, everything is as it was."""
    try:
        record = _bring_up(host, point, name)
        begun = time.time()
        write_lock.lock(host)
        record |= {**_counted(host), "begun": begun, "aside": _aside(host, point)}
        write_json(RECORD, record)
    except BaseException as error:
        if write_lock.is_locked(host):
            try:
                write_lock.unlock(host)
            except HostError as still:
                raise HostError(f"{error}. Nothing was changed, and {still}. Then: sluice-backup unlock") from error
        else:
            write_lock.start_units()
        backup_scratch.remove(_scratch(host))
        if isinstance(error, HostError) and not isinstance(error, Refused):
            raise HostError(f"{error}. Nothing was changed, and the database takes connections") from error
        raise


def _switch(host: Host) -> dict[str, Any]:
    """Make the scratch cluster the live one. Each step sees whether it was done: a run that was killed is continued here."""
    record: dict[str, Any] = read_json(RECORD)
    scratch, aside = _scratch(host), record["aside"]
    try:
        backup_scratch.stop(scratch)
        if not os.path.exists(aside):
            stop_unit(host["unit"])
            if os.path.exists(os.path.join(host["data"], "postmaster.pid")):
                raise HostError(f"{host['unit']} does not stop: systemctl status {host['unit']}")
            os.rename(host["data"], aside)
        if os.path.exists(scratch["data"]):
            os.rename(scratch["data"], host["data"])
        sync_directory(os.path.dirname(host["data"]))
        # Not before the data were moved: after a reboot in between nobody must write to what was counted.
        write_lock.remove_files(host)
        restore.recover(host)
        record |= {"revert": restore.revert_command(aside, record["point"]), **restore.end(host)}
        if record["new_timeline"] <= record["timeline"]:
            raise HostError(f"the server runs on timeline {record['new_timeline']}, which is not new")
    except (HostError, OSError) as error:
        raise HostError(_interrupted_error(str(error))) from error
    record["seconds"] = time.time() - record["begun"]
    shutil.rmtree(scratch["socket"], ignore_errors=True)
    write_lock.start_units()
    # Last: until this is written, the next run goes through the steps again.
    write_json(RECORD, record)
    return record


def _interrupted_error(why: str) -> str:
    """Why a rewind is interrupted, and both ways out."""
    record = read_json(RECORD, {})
    point, aside = record.get("point"), record.get("aside", "")
    back = restore.revert_command(aside, str(point)) if os.path.exists(aside) else "sluice-backup unlock"
    return f"{why}. To continue: sluice-backup rewind --point {point} --confirm {point}. To revert: {back}"


def described(record: Mapping[str, Any]) -> list[str]:
    """Return a comparison, or a rewind that was done, for people: a line each."""
    lines = [
        f"point     {record['point']}, from {record['repository']}, backup {record['backup']}",
        *row_diff.described(record),
    ]
    if record.get("interrupted"):
        return [*lines, "a rewind was interrupted after this count; the same command continues it"]
    if "new_timeline" not in record:
        return lines
    when = "before" if record.get("already") else f"in {record['seconds']:.1f} s"
    return [
        *lines,
        f"rewound to restore point {record['point']} {when}; the server takes writes on timeline {record['new_timeline']}",
        f"previous data: {record['aside']}",
        f"to revert: {record['revert']}",
    ]
