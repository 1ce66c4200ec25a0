# SPDX-License-Identifier: Apache-2.0
"""Runs in a machine of its own: does the experiments that a container cannot, and prints what was seen before, during and after, as JSON.

Each is undone twice over: as the controller does it, and by the host's own timer, when nobody does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, "/usr/local/lib/sluice")
from ansible_collections.sluice.stack.plugins.module_utils.chaos import host

MIB = 2**20
PEER = """
set -e
ip netns add far
ip link add v0 type veth peer name v1
ip link set v1 netns far
ip addr add 10.9.0.1/24 dev v0
ip link set v0 up
ip -n far addr add 10.9.0.2/24 dev v1
ip -n far link set v1 up
ip route add default via 10.9.0.2
mount /dev/ubdb /mnt
"""
SERVER = "ip netns exec far python3 -m http.server --bind 10.9.0.2 8000"
SETTINGS = {"disk_path": "/mnt", "disk_margin": 8 * MIB, "disk_limit": 10_000 * MIB}
# Seconds until the host undoes it by itself; a look has to fit in.
LIMIT = 15.0


def shell(command: str) -> str:
    """What a command printed."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout


def answer() -> float:
    """Seconds for a request to the other side, the best of some: a busy machine is slow by itself."""
    ask = "curl -sS --retry 20 --retry-connrefused -o /dev/null -w '%{time_total}' http://10.9.0.2:8000/"
    return min(float(shell(ask)) for _ in range(4))


def ahead() -> float:
    """Seconds by which the clock is ahead of where it would be."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - BASE


def free() -> float:
    """The free MiB of the disk."""
    return float(shell("df --output=avail -BM /mnt | tail -1").strip().rstrip("M"))


def proof(name: str, look: Callable[[], float], by_timer: bool) -> dict[str, Any]:
    """Do one, have it undone, and say what was seen."""
    seen: dict[str, Any] = {"name": name, "by_timer": by_timer, "before": look()}
    target = {
        "app": "x",
        "services": [],
        "peers": [],
        "ports": [],
        "endpoints": [],
        "ssh_port": 22,
        "settings": SETTINGS,
    }
    seen["begun"] = host.start(name, {**target, "seconds": 5, "release": ""}, "run", LIMIT)
    seen["during"] = look()
    deadline = time.monotonic() + 60
    while by_timer and host.state()["active"] and time.monotonic() < deadline:
        time.sleep(0.2)
    seen["undone"] = host.undo()["undone"]
    seen["active"] = host.state()["active"]
    return {**seen, "after": look()}


shell(PEER)
subprocess.Popen(SERVER.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
BASE = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
for one, looks in {"network_slow": answer, "clock_off": ahead, "disk_full": free}.items():
    for alone in (False, True):
        print(json.dumps(proof(one, looks, alone)), flush=True)
