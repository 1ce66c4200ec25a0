# SPDX-License-Identifier: Apache-2.0
"""Do an experiment on this host so that its undo happens whoever dies: the controller, its connection, this host.

Before the action, the undo stands on the disk as a script, in a unit that runs at every boot, and with a timer that is exact. The controller's undo
starts the same unit, and systemd runs it once at a time, again until it succeeds. It removes all of this when it is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils.chaos import actions
from ansible_collections.sluice.stack.plugins.module_utils.chaos.actions import Container
from ansible_collections.sluice.stack.plugins.module_utils.files import (
    private_folder,
    read_json,
    write_atomic,
    write_json,
)

FOLDER = "/var/lib/sluice/chaos"
ACTIVE, SCRIPT = f"{FOLDER}/active.json", f"{FOLDER}/undo"
SERVICE, TIMER = "sluice-chaos-undo.service", "sluice-chaos-undo.timer"
UNIT = f"/etc/systemd/system/{SERVICE}"
WANTED = f"/etc/systemd/system/multi-user.target.wants/{SERVICE}"
COMMAND_SECONDS = 90.0

UNIT_TEXT = f"""\
# managed by sluice.stack: removed when the experiment is undone
[Unit]
Description=Undo the chaos experiment {{name}}
ConditionPathExists={SCRIPT}
After=network.target docker.service nginx.service postgresql.service redis-server.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh {SCRIPT}
TimeoutStartSec=120
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


class ActionError(Exception):
    """The action, or its undo, failed; the message has what it printed."""


def script(name: str, undo: str) -> str:
    """The whole undo: what the action needs, then everything that was armed for it."""
    return (
        f"#!/bin/sh\n# Undo of the chaos experiment {name}.\nset -e\n{undo}\n"
        f"rm -f {WANTED} {UNIT} {ACTIVE} {SCRIPT}\nsystemctl stop {TIMER} 2>/dev/null || true\n"
    )


def start(name: str, target: dict[str, Any], run: str, limit: float) -> dict[str, Any]:
    """Arm the undo, then act. Returns what was done, or ``unfit`` with the reason. Raises ActionError; the host is as before then."""
    leftover = undo()["undone"]
    try:
        chosen = actions.action(name, Here(), target)
    except actions.Unfit as error:
        return {"unfit": str(error), "leftover": leftover}
    private_folder(FOLDER)
    write_json(ACTIVE, {"experiment": name, "run": run, "since": time.time(), "limit": limit})
    write_atomic(SCRIPT, script(name, chosen.undo), 0o700)
    write_atomic(UNIT, UNIT_TEXT.format(name=name), 0o644)
    with contextlib.suppress(FileExistsError):
        os.symlink(UNIT, WANTED)
    try:
        _run(["systemctl", "daemon-reload"])
        _run(
            [
                "systemd-run",
                "--quiet",
                f"--unit={SERVICE}",
                f"--on-active={limit:g}",
                "--timer-property=AccuracySec=100ms",
            ]
        )
        begun = time.monotonic()
        _run(["sh", "-e", "-c", chosen.start])
    except ActionError as error:
        undo()
        raise ActionError(f"{name}: {error}") from error
    return {"note": chosen.note, "leftover": leftover, "took": time.monotonic() - begun}


def undo() -> dict[str, Any]:
    """Undo what is active; ``undone`` is its name, empty when nothing is. Raises ActionError."""
    if not os.path.exists(SCRIPT):
        return {"undone": ""}
    name = str((read_json(ACTIVE) or {}).get("experiment") or "unknown")
    done = _ask(["systemctl", "start", SERVICE])
    # It fails also when the timer's undo has just removed the unit.
    if os.path.exists(SCRIPT):
        journal = _ask(["journalctl", "-qb", "-o", "cat", "-n", "8", "-u", SERVICE]).stdout
        raise ActionError(
            f"the undo of {name} fails, and is tried again every 2 s: {(journal or done.stderr).strip()[-400:]}"
        )
    return {"undone": name}


def state() -> dict[str, Any]:
    """What is active here, and when this host was booted."""
    return {
        "active": str((read_json(ACTIVE) or {}).get("experiment") or "") if os.path.exists(SCRIPT) else "",
        "boot": booted(),
    }


def booted() -> str:
    """Tells one boot from another, also of a container, whose boot id is its machine's."""
    with open("/proc/1/stat", encoding="utf-8") as handle:
        return f"{handle.read().rpartition(')')[2].split()[19]} {Here().clocks()[0]}"


def _ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"not done within {COMMAND_SECONDS:g} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def _run(command: Sequence[str]) -> str:
    done = _ask(command)
    if done.returncode:
        raise ActionError(
            f"exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-400:] or 'nothing was printed'}"
        )
    return done.stdout


class Here:
    """This host, as actions.Host asks for it."""

    def is_container(self) -> bool:
        """Whether it shares its kernel with others."""
        return _ask(["systemd-detect-virt", "--quiet", "--container"]).returncode == 0

    def addresses(self) -> set[str]:
        """Its own addresses."""
        found = json.loads(_run(["ip", "-json", "address"]))
        return {str(one["local"]) for link in found for one in link.get("addr_info", ()) if "local" in one}

    def resolve(self, name: str) -> list[str]:
        """The addresses of a name."""
        with contextlib.suppress(OSError):
            return list(
                dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
            )
        return []

    def containers(self, app: str) -> Sequence[Container]:
        """The app's running containers that the engine starts again by itself."""
        names = _run(["docker", "ps", "-q", "--filter", f"label=stack.sluice.app={app}"]).split()
        found = json.loads(_run(["docker", "inspect", *names])) if names else []
        return [
            Container(
                str(one["Name"]).lstrip("/"),
                int(one["State"]["Pid"]),
                str(one["Config"]["Labels"].get("stack.sluice.service", "")),
                str(one["Config"]["Labels"].get("stack.sluice.release", "")),
            )
            for one in found
            if one["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped" and one["State"]["Pid"]
        ]

    def units(self, pattern: str) -> Sequence[str]:
        """The active services of a pattern."""
        listed = _run(
            ["systemctl", "list-units", "--type=service", "--state=active", "--plain", "--no-legend", pattern]
        )
        return [line.split()[0] for line in listed.splitlines() if line.strip()]

    def free(self, path: str) -> tuple[int, str]:
        """The free bytes of a path's file system, and its type."""
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise actions.Unfit(f"{path}: {error.strerror}") from error
        return found.f_bavail * found.f_frsize, _run(["stat", "-f", "-c", "%T", path]).strip()

    def available(self) -> int:
        """The bytes of memory that are available."""
        with open("/proc/meminfo", encoding="ascii") as handle:
            return next(int(line.split()[1]) * 1024 for line in handle if line.startswith("MemAvailable:"))

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        return shutil.which(program) is not None

    def can_delay(self) -> bool:
        """Whether the kernel has netem."""
        return _ask(["modprobe", "--quiet", "sch_netem"]).returncode == 0

    def device(self) -> tuple[str, str]:
        """The device with the default route, and its queueing discipline."""
        routes = json.loads(_run(["ip", "-json", "route", "show", "default"]) or "[]")
        name = str(routes[0]["dev"]) if routes else ""
        kinds = json.loads(_run(["tc", "-json", "qdisc", "show", "dev", name, "root"]) or "[]") if name else []
        return name, str(kinds[0]["kind"]) if kinds else ""

    def clocks(self) -> tuple[str, float, float]:
        """The boot's id, the seconds since boot and the time of day."""
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            return handle.read().strip(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
