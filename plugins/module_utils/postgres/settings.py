# SPDX-License-Identifier: Apache-2.0
"""Settings of a Postgres server: those that follow from a host's memory and cores, and which of a set need a restart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MEMORY = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_TIME_US = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_BOOLEANS = {"on": "on", "true": "on", "yes": "on", "1": "on", "off": "off", "false": "off", "no": "off", "0": "off"}


def tuned(memory_mb: int, cores: int, max_connections: int) -> dict[str, str]:
    """Settings for a server that may use ``memory_mb`` MiB and ``cores`` cores and admits ``max_connections``.

    Where the formulas come from (the role's README explains each):

    - a quarter of the memory as ``shared_buffers``: https://www.postgresql.org/docs/17/runtime-config-resource.html
    - ``effective_cache_size``, what the planner may expect to find cached, three quarters:
      https://wiki.postgresql.org/wiki/Tuning_Your_PostgreSQL_Server
    - ``work_mem`` is taken once for each sort or hash of each connection, and hashes take twice that
      (``hash_mem_multiplier``): what the buffers leave, over four for every connection
    - ``maintenance_work_mem`` is taken by three autovacuum workers at once: a sixteenth
    - ``max_wal_size`` bounds what is replayed after a crash as well as disk space: between 1 and 16 GiB
      (https://www.postgresql.org/docs/17/wal-configuration.html)

    ``max_worker_processes`` is no smaller than the server's own default on any host: a standby has to have as many as
    its primary.
    """
    buffers = min(max(memory_mb // 4, 128), 16 * 1024)
    wal = min(max(memory_mb // 4, 1024), 16 * 1024)
    return {
        "shared_buffers": f"{buffers}MB",
        "effective_cache_size": f"{max(memory_mb * 3 // 4, 256)}MB",
        "work_mem": f"{min(max((memory_mb - buffers) // (4 * max_connections), 4), 256)}MB",
        "maintenance_work_mem": f"{min(max(memory_mb // 16, 64), 2048)}MB",
        "max_wal_size": f"{wal}MB",
        "min_wal_size": f"{wal // 4}MB",
        "max_worker_processes": str(max(8, cores)),
        "max_parallel_workers": str(cores),
        "max_parallel_workers_per_gather": str(min(cores // 2, 4)),
        "max_parallel_maintenance_workers": str(min(cores // 2, 4)),
    }


def restarts(wanted: Mapping[str, Any], running: Mapping[str, Mapping[str, Any]], path: str) -> list[str]:
    """What a restart is needed for when the file ``path`` comes to say ``wanted``: one line each, sorted.

    ``running`` is what ``community.postgresql.postgresql_info`` returns as ``settings``: by name ``setting`` (in
    ``unit``), ``pretty_val``, ``vartype``, ``context``, ``sourcefile`` and ``pending_restart``. A setting that ``path`` no longer names goes
    back to what the server starts with. Names the server does not know are left to its own checker.
    """
    lines = []
    for name, now in sorted(running.items()):
        if now["context"] != "postmaster":
            continue
        value, unit, shown = str(now["setting"]), str(now["unit"] or ""), now["pretty_val"]
        if name in wanted:
            if normal(wanted[name], now["vartype"], unit) == normal(value, now["vartype"], unit):
                continue
            lines.append(f"{name} {shown} → {wanted[name]}")
        elif now["sourcefile"] == path:
            lines.append(f"{name} {shown} → the server's default")
        # What a restore was told is over with it: nothing but a recovery reads it.
        elif now.get("pending_restart") and not name.startswith("recovery_target"):
            lines.append(f"{name}, changed elsewhere before")
    return lines


def normal(value: Any, kind: str, unit: str = "") -> str | float:
    """A setting's value in a form in which equal ones are equal; ``unit`` is the one a bare number counts in."""
    text = str(value).strip()
    if kind == "bool":
        return _BOOLEANS.get(text.lower(), text)
    if kind not in ("integer", "real"):
        return text
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return text
    return float(match[1]) * _factor(match[2] or unit)


def _factor(unit: str) -> float:
    """How many bytes or microseconds a unit is; Postgres counts some settings in blocks, such as ``8kB``."""
    count, name = re.fullmatch(r"(\d*)([A-Za-z]*)", unit).groups()  # type: ignore[union-attr]  # matches any unit
    return int(count or 1) * (_MEMORY | _TIME_US).get(name, 1)
