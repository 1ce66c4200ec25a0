# SPDX-License-Identifier: Apache-2.0
"""A scratch cluster: a backup brought up alongside the live cluster, on a socket of its own and without an archive.

It is described like the live one, as a mapping with ``socket``, ``port`` and ``data``, so that whatever asks the one can ask the other. All of it is in
one directory, which is also its socket's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    USER,
    Done,
    HostError,
    as_postgres,
    control_data,
    sql,
    wait_until,
)
from ansible_collections.sluice.stack.plugins.module_utils.backup.host import (
    require_space as host_space,
)
from ansible_collections.sluice.stack.plugins.module_utils.postgres.standby import at_least

# Whom a drill's checks run as, besides the superuser the only one to come in. Few scratch clusters have it.
CHECKER = "sluice_drill"
# Beyond the database's own size: what a recovery writes, and what the file system needs for itself.
SPACE_FACTOR, SPACE_BYTES = 1.2, 512 * 2**20


class RecoveryFailed(HostError):
    """The server of the restored data did not come up."""


def at(host: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The scratch cluster of this host that is, or will be, in ``folder``."""
    return {**host, "socket": folder, "port": host["drill_port"], "data": os.path.join(folder, "data")}


def require_space(folder: str, size: int | None) -> None:
    """Raise HostError unless there is space in ``folder`` for a scratch cluster of ``size`` bytes."""
    advice = "make space, or set backup_drill_directory to a larger file system"
    host_space(folder, int((size or 0) * SPACE_FACTOR + SPACE_BYTES), "the drill", advice)


def start(scratch: Mapping[str, Any], seconds: float, overrides: Mapping[str, Any], answer: str) -> None:
    """Start the server and wait until the query ``answer`` is true. Raises RecoveryFailed, or HostError when nothing could be tried.

    ``overrides`` are settings above all others. ``seconds`` is how long the recovery may take.
    """
    folder = scratch["socket"]
    prepared = control_data(scratch, scratch["data"]).get("max_prepared_xacts setting", "0")
    # Above all files, also above what ALTER SYSTEM left in the restored data: it is alone, quiet, and touches no archive.
    options = {
        "config_file": f"{folder}/postgresql.conf",
        "hba_file": f"{folder}/pg_hba.conf",
        "ident_file": f"{folder}/pg_ident.conf",
        "data_directory": scratch["data"],
        "unix_socket_directories": folder,
        "port": scratch["port"],
        "listen_addresses": "",
        "archive_mode": "off",
        "hot_standby": "off",
        "ssl": "off",
        "logging_collector": "off",
        "lc_messages": "C",
        "synchronous_standby_names": "",
        "max_prepared_transactions": prepared,
        **overrides,
    }
    for name, text in (
        ("postgresql.conf", ""),
        ("pg_hba.conf", f"local all {USER} peer\nlocal all {CHECKER} scram-sha-256\n"),
        ("pg_ident.conf", ""),
        ("log", ""),
    ):
        written = as_postgres(["tee", f"{folder}/{name}"], text=text)
        if written.code:
            raise HostError(written.output)
    words = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    started = _pg_ctl(
        scratch, "start", "--timeout", str(seconds), "--log", f"{folder}/log", "--options", words, seconds=seconds + 60
    )
    pid = f"{scratch['data']}/postmaster.pid"
    # It counts as started when its data is consistent, and answers when all WAL is replayed.
    wait_until(lambda: not os.path.exists(pid) or _is(scratch, answer), 0 if started.code else seconds)
    if started.code or not _is(scratch, answer):
        raise RecoveryFailed(f"the recovery did not finish: {_last_words(log(scratch))}")


def start_at(scratch: Mapping[str, Any], point: str, fetch: str, seconds: float) -> None:
    """Start the server held at the restore point ``point``: it answers, and nothing can write to it. Raises RecoveryFailed or HostError.

    ``fetch`` is the command that fetches WAL. Stopped, moved and started without this it goes on from there, and opens for writing.
    """
    settings = at_least({}, control_data(scratch, scratch["data"]))
    held = {"hot_standby": "on", "recovery_target_action": "pause", "restore_command": fetch}
    start(scratch, seconds, {**settings, **held}, "select pg_get_wal_replay_pause_state() = 'paused'")
    # It also pauses when its settings are too small for what it replays.
    if f'recovery stopping at restore point "{point}"' not in log(scratch):
        raise RecoveryFailed(f"the recovery stopped before restore point {point}: {_last_words(log(scratch))}")


def stop(scratch: Mapping[str, Any], mode: str = "fast", seconds: float = 600) -> None:
    """Stop the server, if it runs. Raises HostError."""
    if not os.path.exists(os.path.join(scratch["data"], "postmaster.pid")):
        return
    done = _pg_ctl(scratch, "stop", "--mode", mode, "--timeout", str(seconds), seconds=seconds + 60)
    # Of a server that was killed its file is left, and there is nothing to stop.
    if done.code and _pg_ctl(scratch, "status").code == 0:
        raise HostError(f"the scratch server in {scratch['data']} does not stop: {done.output}")


def remove(scratch: Mapping[str, Any]) -> None:
    """Stop and remove the scratch cluster, also one that a killed run left."""
    stop(scratch, "immediate")
    if os.path.isdir(scratch["socket"]):
        shutil.rmtree(scratch["socket"])


def log(scratch: Mapping[str, Any]) -> str:
    """What the server wrote since it was started."""
    try:
        with open(f"{scratch['socket']}/log", encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def _is(scratch: Mapping[str, Any], answer: str) -> bool:
    try:
        return sql(scratch, answer) == "t"
    except HostError:
        return False


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    grave = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return (grave or lines or ["an empty log"])[-1]


def _pg_ctl(scratch: Mapping[str, Any], *arguments: str, seconds: float = 60) -> Done:
    program = f"/usr/lib/postgresql/{scratch['version']}/bin/pg_ctl"
    return as_postgres([program, "--pgdata", scratch["data"], "--silent", *arguments], seconds)
