# SPDX-License-Identifier: Apache-2.0
"""An app's file in Nginx's configuration: checked, loaded, and seen to be served, or put back."""

from __future__ import annotations

import contextlib
import glob
import os
import subprocess
import time
from collections.abc import Mapping
from types import MappingProxyType

from ansible_collections.sluice.stack.plugins.module_utils.edge import control as edge_control
from ansible_collections.sluice.stack.plugins.module_utils.edge import nginx as edge_nginx
from ansible_collections.sluice.stack.plugins.module_utils.files import sync_directory, write_atomic
from ansible_collections.sluice.stack.plugins.module_utils.paths import EDGE_CONFIGS, STATE_ROOT

# Nginx checks the files of all apps together, so only one of them may be in the making.
LOCK = os.path.join(STATE_ROOT, "edge.lock")
PID_FILE = "/run/nginx.pid"
COMMAND_SECONDS = 20
CERTIFICATES = "sluice-certificates.service"
GROUP = "www-data"
NONE: Mapping[str, str] = MappingProxyType({})


class ConfigError(Exception):
    """The configuration cannot be installed; the message has Nginx's own words."""


def read(path: str) -> str:
    """The text of a file, empty when there is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def put(path: str, text: str) -> None:
    """Make a file have the text; none for an empty one."""
    if text:
        write_atomic(path, text, mode=0o644)
    elif os.path.exists(path):
        os.unlink(path)
        sync_directory(os.path.dirname(path))


def refuse_clash(app: str, content: str) -> None:
    """Raise ConfigError when another app on this edge has the same host names."""
    others = {
        os.path.basename(path).removesuffix(".conf"): read(path)
        for path in glob.glob(os.path.join(EDGE_CONFIGS, "*.conf"))
    }
    fault = edge_nginx.clash(app, content, others)
    if fault:
        raise ConfigError(fault)


def run(*command: str) -> None:
    """Run a program; raises ConfigError with what it said when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{' '.join(command)} failed: {error}") from error
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if "[notice]" not in line]
        old = (
            "; run provision.yml, this edge has an older version's settings"
            if 'unknown "sluice_' in done.stderr
            else ""
        )
        raise ConfigError(f"{' '.join(command)} failed: {' '.join(said).strip()}{old}")


def accepting_workers() -> set[int]:
    """The workers that take new connections: Nginx renames those that do not, before they close their listening sockets."""
    master = read(PID_FILE).strip()
    found = set()
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{folder}/stat", encoding="utf-8", errors="replace") as handle:
                parent = handle.read().rpartition(")")[2].split()[1]
            with open(f"{folder}/cmdline", encoding="utf-8", errors="replace") as handle:
                title = handle.read()
        except OSError:  # ended meanwhile
            continue
        if parent == master and "worker process" in title and "shutting down" not in title:
            found.add(int(os.path.basename(folder)))
    return found


def wait_served(app: str, fingerprint: str, old: set[int], seconds: float) -> None:
    """Wait until no old worker takes new connections and the new ones run the configuration; raises ConfigError."""
    deadline = time.monotonic() + seconds
    while True:
        now = accepting_workers()
        if now and not now & old and edge_control.running_config(app) == fingerprint:
            return
        if time.monotonic() > deadline:
            raise ConfigError(
                f"Nginx was told to reload and still serves the old configuration after {seconds:g} s: see /var/log/nginx/error.log"
            )
        time.sleep(0.02)


def stale_passwords(app: str, files: Mapping[str, str]) -> bool:
    """Whether the app's files of passwords differ from ``files``, name to content."""
    there = {os.path.basename(path): read(path) for path in _password_files(app)}
    return there != files


def put_passwords(files: Mapping[str, str]) -> None:
    """Write files of passwords, for Nginx's workers only; these read them at each request."""
    for name, text in files.items():
        write_atomic(os.path.join(EDGE_CONFIGS, name), text, mode=0o640, group=GROUP)


def drop_passwords(app: str, keep: Mapping[str, str]) -> None:
    """Remove the app's other files of passwords."""
    for path in _password_files(app):
        if os.path.basename(path) not in keep:
            os.unlink(path)


def _password_files(app: str) -> list[str]:
    return glob.glob(os.path.join(EDGE_CONFIGS, f"{app}.*.users"))


def install(
    app: str, path: str, before: str, content: str, seconds: float, passwords: Mapping[str, str] = NONE
) -> None:
    """Make Nginx serve the content, or put the old file back."""
    edge_control.running_config(app)  # a server that does not run is said plainly, before anything is written
    put_passwords(passwords)
    put(path, content and content + edge_nginx.UNSERVED)
    try:
        run("nginx", "-t", "-q")
        old = accepting_workers()
        run("systemctl", "reload", "nginx.service")
        wait_served(app, edge_nginx.fingerprint(content), old, seconds)
    except (ConfigError, edge_control.EdgeDown, edge_control.EdgeRefused):
        put(path, before)
        raise
    put(path, content)
    drop_passwords(app, passwords)


def obtain_certificates() -> None:
    """Have certificates obtained for new host names, in the background. Its timer makes up for a start that fails."""
    with contextlib.suppress(ConfigError):
        run("systemctl", "start", "--no-block", CERTIFICATES)
