# SPDX-License-Identifier: Apache-2.0
"""The revert of a restore or rewind: the data it moved aside, on a timeline of their own. See docs/decisions/0015-rewind-the-cluster-that-was-counted.md."""

from __future__ import annotations

import glob
import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup import write_lock
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STATE,
    USER,
    HostError,
    control_data,
    stop_unit,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.restore_plan import POINT
from ansible_collections.sluice.stack.plugins.module_utils.files import locked, sync_directory
from ansible_collections.sluice.stack.plugins.module_utils.pgbackrest import restore

SYSTEM = "Database system identifier"


def revert(host: Mapping[str, Any], identity: str) -> dict[str, Any]:
    """Have the cluster run on the data that the restore or rewind ``identity`` moved aside; the live data are moved away.

    A call that was killed is continued by the next one. Raises HostError.
    """
    if not POINT.fullmatch(identity):
        raise HostError(
            f"{identity!r} is no restore's id; it is in what the restore printed, and in the name of what it moved aside"
        )
    data = host["data"]
    aside, left = f"{data}.before-{identity}", f"{data}.left-{identity}"
    write_lock.stop_units()
    with locked(os.path.join(STATE, "drill.lock")):
        begun = time.time()
        if os.path.exists(aside):
            if os.path.exists(data) and os.path.exists(left):
                raise HostError(f"{left} exists: this was reverted before; remove it when nobody needs it")
            stop_unit(host["unit"])
            if os.path.exists(data):
                os.rename(data, left)
            _prepare(host, aside, left)
            os.rename(aside, data)
            sync_directory(os.path.dirname(data))
        elif not os.path.exists(left):
            raise HostError(f"there is no {aside} to revert to")
        write_lock.remove_files(host)
        restore.recover(host)
        write_lock.start_units()
        return {"aside": aside, "left": left, "seconds": time.time() - begun, **restore.end(host)}


def _prepare(host: Mapping[str, Any], aside: str, left: str) -> None:
    """Have the server end its history at its next start, and begin one whose number no other has."""
    if control_data(host, aside).get(SYSTEM) == control_data(host, left).get(SYSTEM):
        # It looks for a number in the archive first, which may not answer.
        for path in glob.glob(os.path.join(left, "pg_wal", "*.history")):
            there = os.path.join(aside, "pg_wal", os.path.basename(path))
            if not os.path.exists(there):
                shutil.copy(path, there)
                shutil.chown(there, USER, USER)
    settings = {
        **dict.fromkeys(restore.TARGETS, ""),
        "restore_command": f'pgbackrest --stanza={host["stanza"]} archive-get %f "%p"',
        "recovery_target_timeline": "current",
    }
    with open(os.path.join(aside, "postgresql.auto.conf"), "a", encoding="utf-8") as handle:
        handle.write("".join(f"\n{name} = '{value}'" for name, value in settings.items()) + "\n")
    signal = os.path.join(aside, "recovery.signal")
    with open(signal, "w", encoding="utf-8"):
        pass
    shutil.chown(signal, USER, USER)
