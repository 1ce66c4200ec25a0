# SPDX-License-Identifier: Apache-2.0
"""Which machine this is, and the few facts about it that the host roles need."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Mapping
from typing import Any

MACHINE_ID = "/etc/machine-id"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def read(path: str) -> str:
    """Return the stripped text of a file, empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def link(path: str) -> str:
    """Return what a link names, empty when it is none."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def identity() -> dict[str, str]:
    """Return the machine's identity: machine id, boot id and host name."""
    return {"machine_id": read(MACHINE_ID), "boot_id": read(BOOT_ID), "hostname": platform.node()}


def same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether two identities are of the same machine.

    No part is unique alone: machines from one image can share the machine id, containers share the boot id, and host names repeat. An
    unknown part never matches.
    """
    return all(one.get(part) and one.get(part) == other.get(part) for part in ("machine_id", "boot_id", "hostname"))


def facts(os_release: str, debian_version: str, meminfo: str, processors: int) -> dict[str, Any]:
    """Return facts under the names ``ansible.builtin.setup`` uses, from the text of files in /etc and /proc."""
    fields = {name: value.strip("\"'") for name, value in re.findall(r"(?m)^(\w+)=(.*)$", os_release)}
    sizes = dict(re.findall(r"(?m)^(\w+):\s+(\d+) kB", meminfo))
    # Like setup: debian_version has the point release; on testing and unstable it has names.
    version = debian_version if re.fullmatch(r"\d+(\.\d+)?", debian_version) else fields.get("VERSION_ID", "")
    return {
        "distribution": {"debian": "Debian", "ubuntu": "Ubuntu"}.get(fields.get("ID", ""), fields.get("NAME", "")),
        "distribution_release": fields.get("VERSION_CODENAME", ""),
        "distribution_version": version,
        "memtotal_mb": int(sizes.get("MemTotal", 0)) // 1024,
        "swaptotal_mb": int(sizes.get("SwapTotal", 0)) // 1024,
        "processor_nproc": processors,
    }


def here() -> dict[str, Any]:
    """Return the facts about this machine."""
    release = read("/etc/os-release")
    found = facts(release, read("/etc/debian_version"), read("/proc/meminfo"), len(os.sched_getaffinity(0)))
    return {
        **found,
        # Written by systemd: what runs the container that it is the first process of; empty on a machine.
        "container": read("/run/systemd/container"),
        "timezone": zone_of(link("/etc/localtime")),
        "swapfile": os.path.exists("/swapfile"),
    }


def zone_of(path: str) -> str:
    """Return the time zone's name from what /etc/localtime is a link to; without a link it is UTC."""
    return path.partition("/zoneinfo/")[2] or "UTC"


def skew(before: float, clock: float, after: float) -> float:
    """Return how far a clock is ahead of ours at least, in seconds; negative when it is behind.

    It was read between ``before`` and ``after``, so a clock inside of these agrees with ours.
    """
    return clock - after if clock > after else min(0.0, clock - before)


def clock() -> float:
    """Return this machine's time, in seconds of the epoch."""
    return time.time()
