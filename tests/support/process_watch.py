# SPDX-License-Identifier: Apache-2.0
"""What the processes of the lab's hosts, and of the controller, had in their arguments and environments, and what is on disk.

It looks many times a second, so a process that lives for milliseconds may be missed; every value is used many times in a rotation.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.lab import PREFIX

CONTROLLER = "the controller"
SLEEP_SECONDS = 3
# Runs on a host or here; ends with its input. A container's processes are in a PID namespace of their own: their environment is the app's own.
LOOK = r"""
import glob, json, os, sys, threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
mine, found = os.readlink("/proc/self/ns/pid"), set()
while not ended.wait(0.03):
    for process in glob.glob("/proc/[0-9]*"):
        try:
            with open(process + "/cmdline", "rb") as handle:
                arguments = handle.read()
            found.add(("arguments", arguments))
            if os.readlink(process + "/ns/pid") == mine:
                with open(process + "/environ", "rb") as handle:
                    found.add(("environment of " + arguments[:80].decode(errors="replace").replace("\0", " "), handle.read()))
        except OSError:
            pass
print(json.dumps([[what, text.decode(errors="replace")] for what, text in sorted(found)]))
"""
# Runs on a host, and prints the files with one of the values, which are in the script: it comes by standard input.
SEARCH = r"""
import os
values, found = [value.encode() for value in VALUES], []
for top in FOLDERS:
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in SKIPPED]
        for name in names:
            path = os.path.join(folder, name)
            try:
                if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < 2**27:
                    with open(path, "rb") as handle:
                        text = handle.read()
                    found += [path] if any(value in text for value in values) else []
            except OSError:
                pass
print("\n".join(found))
"""
FOLDERS = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var")
# Images' layers; what containers write is among their logs.
SKIPPED = ("/var/lib/docker/overlay2", "/var/lib/docker/image", "/var/lib/docker/volumes")


class Watch:
    """Within the block all processes are looked at; ``having`` tells what had a value."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts
        self._running: dict[str, tuple[subprocess.Popen[str], Any]] = {}
        self.seen: dict[str, list[list[str]]] = {}

    def __enter__(self) -> Self:
        for host in (*self.hosts, CONTROLLER):
            where = [] if host == CONTROLLER else ["docker", "exec", "-i", f"{PREFIX}-{host}"]
            python = sys.executable if host == CONTROLLER else "python3"
            output = tempfile.TemporaryFile("w+", encoding="utf-8")
            process = subprocess.Popen(
                [*where, python, "-c", LOOK], stdin=subprocess.PIPE, stdout=output, text=True, errors="replace"
            )
            self._running[host] = process, output
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host, (process, output) in self._running.items():
            process.communicate(timeout=60)
            output.seek(0)
            text = output.read()
            output.close()
            self.seen[host] = json.loads(text or "[]")

    def having(self, *values: str) -> set[str]:
        """Where a value was: host and what had it."""
        return {
            f"{host}: {what}"
            for host, texts in self.seen.items()
            for what, text in texts
            if any(value in text for value in values)
        }

    def plant(self, value: str) -> None:
        """Run a process with a value in its environment, and one with it in its arguments, everywhere."""
        for host in (*self.hosts, CONTROLLER):
            where = [] if host == CONTROLLER else ["docker", "exec", f"{PREFIX}-{host}"]
            script = f"PLANTED={value} sleep {SLEEP_SECONDS} & sh -c 'sleep {SLEEP_SECONDS}; exit 0' {value}; wait"
            subprocess.run([*where, "sh", "-c", script], check=True)


def files_with(host: str, *values: str) -> list[str]:
    """The files of a host, or of Ansible on the controller, that have a value."""
    here = host == CONTROLLER
    folders = [str(Path("~/.ansible").expanduser())] if here else FOLDERS
    script = f"VALUES, FOLDERS, SKIPPED = {list(values)!r}, {list(folders)!r}, {list(SKIPPED)!r}\n{SEARCH}"
    where = [sys.executable] if here else ["docker", "exec", "-i", f"{PREFIX}-{host}", "python3"]
    done = subprocess.run([*where, "-"], input=script, capture_output=True, text=True, check=True, timeout=300)
    return [line for line in done.stdout.splitlines() if line]
