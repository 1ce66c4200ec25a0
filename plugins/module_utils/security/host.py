# SPDX-License-Identifier: Apache-2.0
"""What a host says about its own security. It only reads: no command here writes a file, not even a cache."""

from __future__ import annotations

import glob
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.sluice.stack.plugins.module_utils import access
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import Engine, EngineError
from ansible_collections.sluice.stack.plugins.module_utils.machine import read
from ansible_collections.sluice.stack.plugins.module_utils.parallel import together
from ansible_collections.sluice.stack.plugins.module_utils.security import files, texts

SECONDS = 60
SYSCTL = "/etc/sysctl.d/80-sluice.conf"
LYNIS = "/var/log/lynis-report.dat"
SOCKET, PID = "/var/run/docker.sock", "/var/run/docker.pid"
UPGRADES = "apt-daily-upgrade.timer"
FIREWALL = "nftables.service"
# As somebody who cannot write: root's apt would renew its caches.
NOBODY = "nobody"
PENDING = ("apt-get", "--simulate", "dist-upgrade")


class Missing(Exception):
    """The host cannot say; the message says why."""


def run(*command: str, user: str | None = None) -> str:
    """Run a command, as another user if one is given; returns its output. Raises Missing."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
            user=user,
            group="nogroup" if user else None,
            extra_groups=[] if user else None,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Missing(f"{command[0]}: {' '.join((done.stderr or done.stdout).split())[-200:]}")
    return done.stdout


def gather() -> dict[str, Any]:
    """Return each part's facts, or ``{"missing": why}`` in its place."""
    parts: Mapping[str, Callable[[], Any]] = {
        "sshd": lambda: texts.sshd(run("sshd", "-T")),
        "firewall": firewall,
        "upgrades": upgrades,
        "listening": lambda: texts.listening(run("ss", "-Hlntp")),
        "addresses": lambda: texts.addresses(run("ip", "-brief", "address", "show", "up")),
        "containers": containers,
        "kernel": kernel,
        "accounts": lambda: texts.accounts(read("/etc/passwd"), read("/etc/shadow"), read("/etc/group")),
        "files": files.look,
        "lynis": lynis,
    }

    def one(gather_part: Callable[[], Any]) -> Any:
        try:
            return gather_part()
        except (Missing, EngineError, OSError) as error:
            return {"missing": " ".join(str(error).split())}

    return dict(zip(parts, together(one, parts.values()), strict=True))


def firewall() -> dict[str, Any]:
    """Return how the loaded rules differ from those that role baseline loaded, and whether they are loaded at boot."""
    loaded, kept = access.loaded_rules(), access.text_of("loaded")
    return {
        "loaded": bool(loaded),
        "drift": access.drift(loaded, kept) if loaded else [],
        "at_boot": enabled(FIREWALL),
    }


def enabled(unit: str) -> bool:
    """Whether a unit is started at boot."""
    try:
        return run("systemctl", "is-enabled", unit).strip() == "enabled"
    except Missing:
        return False


def upgrades() -> dict[str, Any]:
    """Return pending security upgrades as of the package lists, the lists' age in seconds, and whether a reboot is due."""
    stamps = [*glob.glob("/var/lib/apt/lists/*InRelease"), *glob.glob("/var/lib/apt/lists/partial")]
    stamp = "/var/lib/apt/periodic/update-success-stamp"
    times = [os.path.getmtime(path) for path in (stamps if len(stamps) > 1 else []) + [stamp] if os.path.exists(path)]
    return {
        "security": texts.security_upgrades(run(*PENDING, user=NOBODY)),
        "age": time.time() - max(times) if times else None,
        "daily": enabled(UPGRADES),
        "reboot": os.path.exists("/run/reboot-required"),
        "reboot_for": read("/run/reboot-required.pkgs").split(),
    }


def containers() -> dict[str, Any]:
    """Return what each running container may do, and who may use the engine. Nothing of its environment."""
    if not os.path.exists(SOCKET):
        return {"engine": False, "running": []}
    # To connect to the socket would start it.
    if not os.path.exists(PID):
        raise Missing("the container engine does not run")
    engine = Engine(timeout=30)
    names = [one["Id"] for one in engine.get("/containers/json")]
    running = [texts.container(engine.get(f"/containers/{name}/json")) for name in names]
    return {
        "engine": True,
        "running": sorted(running, key=lambda one: str(one["name"])),
        "socket_mode": os.stat(SOCKET).st_mode & 0o777,
    }


def kernel() -> dict[str, Any]:
    """Return the settings that role baseline wrote, and each one's value in the kernel where that differs."""
    wanted = texts.settings(read(SYSCTL))
    if not wanted:
        raise Missing(f"{SYSCTL} is not there")
    different = {}
    for name, value in wanted.items():
        found = " ".join(read(f"/proc/sys/{name.replace('.', '/')}").split())
        if found != value:
            different[name] = {"wanted": value, "found": found}
    return {"settings": len(wanted), "different": different}


def lynis() -> dict[str, Any]:
    """Return the last report of lynis. It is not run here: it takes a minute, and it writes."""
    text = read(LYNIS)
    if not text:
        raise Missing("lynis has left no report")
    return {**texts.lynis(text), "age": time.time() - os.path.getmtime(LYNIS)}
