# SPDX-License-Identifier: Apache-2.0
"""Looks at hosts from other hosts. Commands go past SSH, which is what is tested."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

V4 = {"edge1": "10.213.71.11", "app1": "10.213.71.21", "app2": "10.213.71.22", "outside1": "10.213.71.99"}
V6 = {host: f"fd00:213:71::{address.rpartition('.')[2]}" for host, address in V4.items()}
HARDENED = ("edge1", "app1", "app2")
Shell = Callable[..., str]
Ports = Callable[[str, str], set[int]]

# What a connection to each port came to: nobody keeps a socket open that long, so `dropped` is the firewall.
TRY = """
import socket, sys
for port in map(int, sys.argv[2:]):
    try:
        socket.create_connection((sys.argv[1], port), timeout=1.5).close()
        print(port, "open")
    except ConnectionRefusedError:
        print(port, "refused")
    except OSError:
        print(port, "dropped")
"""


def on(host: str, *command: str, stdin: str | None = None, check: bool = True) -> str:
    """The output of a command on a host, as root."""
    done = subprocess.run(
        ["docker", "exec", "--interactive", f"sluice-hardened-{host}", *command],
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=150,
        check=False,
    )
    assert not check or done.returncode == 0, f"{host}: {' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout + ("" if check else done.stderr)


@pytest.fixture(scope="session")
def shell() -> Shell:
    """Run a script on a host."""
    return lambda host, script, check=True: on(host, "sh", stdin=script, check=check)


def tried(source: str, target: str, *ports: int) -> dict[int, str]:
    """What a connection from a host to each port of an address came to: open, refused or dropped."""
    lines = on(source, "python3", "-c", TRY, target, *map(str, ports)).splitlines()
    return {int(port): state for port, state in map(str.split, lines)}


@pytest.fixture(scope="session")
def let_through() -> Ports:
    """All TCP ports of an address that the outside host gets an answer from, be it a refusal: the firewall let it through."""

    def scan(target: str, also: str = "") -> set[int]:
        family = ["-6"] if ":" in target else []
        fast = ["-n", "-Pn", "-sS", "-p-", "-T5", "--min-rate=15000", "--max-retries=1"]
        found = on("outside1", "nmap", *family, *fast, "--reason", "-oG", "-", target)
        ports = {int(port) for port in re.findall(r"\b(\d+)/(?:open|closed|unfiltered)/tcp", found)}
        # nmap leaves out the state that most ports have.
        most = re.search(r"Ignored State: (\w+)", found)
        assert most and most[1] == "filtered", found
        return ports

    return scan


@pytest.fixture(scope="session")
def published() -> Iterator[dict[str, int]]:
    """A container on app1 with its port published on all addresses twice: outside of the apps' range, and inside of it."""
    ports = {"elsewhere": 8088, "slot": 20007}
    make = (
        "cd /tmp && mkdir -p image && cp /bin/busybox image/ && tar -C image -c . | docker import - busybox >/dev/null"
    )
    publish = " ".join(f"--publish {port}:80" for port in ports.values())
    start = f"docker run --detach --name published {publish} busybox /busybox httpd -f -p 80"
    on("app1", "sh", stdin=f"docker rm -f published 2>/dev/null; {make}; {start}")
    yield ports
    on("app1", "docker", "rm", "-f", "published")
