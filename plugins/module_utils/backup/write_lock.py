# SPDX-License-Identifier: Apache-2.0
"""The write lock: the live cluster answers its superuser over the socket and nobody else, so that no row is written after rows were counted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    STOP_SECONDS,
    USER,
    HostError,
    sql,
    systemctl,
    wait_until,
)
from ansible_collections.sluice.stack.plugins.module_utils.files import write_atomic

# What writes to the cluster or reads the repositories automatically.
UNITS = (
    "sluice-heartbeat.service",
    "sluice-backup@full.timer",
    "sluice-backup@incr.timer",
    "sluice-backup@drill.timer",
)
JOBS = ("sluice-backup@full.service", "sluice-backup@incr.service", "sluice-backup@drill.service")
START_SECONDS = 600.0


def _files(host: Mapping[str, Any]) -> tuple[str, str]:
    folder = f"/etc/postgresql/{host['version']}/main"
    # Files of this directory are read in the order of their names: the last one wins.
    return f"{folder}/conf.d/zz-sluice-locked.conf", f"{folder}/sluice-locked-hba.conf"


def is_locked(host: Mapping[str, Any]) -> bool:
    """Return whether it is locked, or would be after its next start."""
    return os.path.exists(_files(host)[0])


def lock(host: Mapping[str, Any]) -> None:
    """End all sessions and accept only the superuser over the socket. Raises HostError.

    By a restart: a session that is being accepted while rules change would be there afterwards. The lock survives a reboot.
    """
    settings, rules = _files(host)
    stop_units()
    write_atomic(rules, f"local all {USER} peer\n", mode=0o640, owner="root", group=USER)
    text = f"hba_file = '{rules}'\nlisten_addresses = ''\ndefault_transaction_read_only = 'on'\n"
    write_atomic(settings, text, mode=0o640, owner="root", group=USER)
    _restart(host)
    if sql(host, "show hba_file") != rules:
        raise HostError(
            f"the server did not read {settings}, so it cannot be locked: does its postgresql.conf include conf.d, or did ALTER SYSTEM set hba_file?"
        )


def remove_files(host: Mapping[str, Any]) -> None:
    """End the lock from the next start on."""
    for path in _files(host):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def unlock(host: Mapping[str, Any]) -> None:
    """End the lock. Raises HostError."""
    remove_files(host)
    _restart(host)
    start_units()


def stop_units() -> None:
    """Stop what writes to the cluster or reads the repositories automatically. Raises HostError."""
    stop_jobs()
    for unit in UNITS:
        if systemctl("stop", unit, seconds=STOP_SECONDS) and systemctl("is-active", "--quiet", unit) == 0:
            raise HostError(f"{unit} could not be stopped; nothing was changed: systemctl status {unit}")


def stop_jobs() -> None:
    """Stop a running backup or drill: a restore is more urgent."""
    systemctl("stop", *JOBS, seconds=STOP_SECONDS)


def start_units() -> None:
    """Start again what starts at boot."""
    for unit in UNITS:
        if systemctl("is-enabled", "--quiet", unit) == 0:
            systemctl("start", unit)


def _restart(host: Mapping[str, Any]) -> None:
    if systemctl("restart", host["unit"], seconds=STOP_SECONDS + START_SECONDS) or not wait_until(
        lambda: _answers(host), START_SECONDS
    ):
        raise HostError(f"the server did not come up again: systemctl status {host['unit']}")


def _answers(host: Mapping[str, Any]) -> bool:
    try:
        return sql(host, "select true") == "t"
    except HostError:
        return False
