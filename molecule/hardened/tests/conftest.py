# SPDX-License-Identifier: Apache-2.0
"""Looks at hosts from other hosts. Commands go past SSH, which is what is tested."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

V4 = {"edge1": "10.213.71.11", "app1": "10.213.71.21", "app2": "10.213.71.22", "outside1": "10.213.71.99"}
V6 = {host: f"fd00:213:71::{address.rpartition('.')[2]}" for host, address in V4.items()}
HARDENED = ("edge1", "app1", "app2")
SCENARIO = pathlib.Path(__file__).parents[1]
EPHEMERAL = os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]
Shell = Callable[..., str]

# What a connection to each port came to. Without an answer it was dropped.
TRY = """
import concurrent.futures, socket, sys
def attempt(port):
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=2).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "dropped"
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    for port, state in zip(sys.argv[2:], pool.map(attempt, sys.argv[2:])):
        print(port, state)
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
def let_through() -> Callable[[str], dict[str, set[int]]]:
    """For each host all ports, of TCP or UDP over IPv4 or IPv6, from which the outside host gets an answer, be it a refusal: the firewall let it through."""

    def scan(family: str, protocol: str = "tcp") -> dict[str, set[int]]:
        addresses = {"IPv4": V4, "IPv6": V6}[family]
        fast = [
            "-n",
            "-Pn",
            {"tcp": "-sS", "udp": "-sU"}[protocol],
            "-p-",
            "-T5",
            "--min-rate=30000",
            "--max-retries=1",
            "--min-hostgroup=3",
        ]
        version = ["-6"] if family == "IPv6" else []
        said = on("outside1", "nmap", *version, *fast, "-oG", "-", *(addresses[host] for host in HARDENED))
        found = {}
        for host in HARDENED:
            line = next(line for line in said.splitlines() if f"Host: {addresses[host]} " in line and "Ports: " in line)
            # nmap leaves out the state that most ports have.
            assert f"Ignored State: {'filtered' if protocol == 'tcp' else 'open|filtered'}" in line, line
            found[host] = {int(port) for port in re.findall(rf"\b(\d+)/(?:open|closed|unfiltered)/{protocol}", line)}
        return found

    return scan


def converge(**variables: str | bool) -> None:
    """Harden the hosts anew, with these variables."""
    done = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            f"{EPHEMERAL}/inventory",
            str(SCENARIO / "converge.yml"),
            "-e",
            json.dumps(variables),
        ],
        capture_output=True,
        text=True,
        cwd=SCENARIO.parents[1],
        env={**os.environ, "MOLECULE_PROJECT_DIRECTORY": str(SCENARIO.parents[1])},
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


@pytest.fixture
def over_ipv6() -> Iterator[None]:
    """Hosts that know each other by their IPv6 addresses, and no HTTP/3."""
    converge(stack_address="fd00:213:71::{{ ansible_host.split('.')[3] }}", nginx_http3=False)
    yield
    converge()


@pytest.fixture(scope="session", autouse=True)
def lynis() -> Iterator[Callable[[], str]]:
    """Lynis looks at edge1 while the other tests run; its report."""
    profile = (SCENARIO / "files/waived.prf").read_text(encoding="utf-8")
    on("edge1", "sh", "-c", "cat >/etc/lynis/custom.prf", stdin=profile)
    audit = ["lynis", "audit", "system", "--quick", "--no-colors", "--quiet"]
    started = subprocess.Popen(
        ["docker", "exec", "sluice-hardened-edge1", *audit], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def report() -> str:
        started.wait(150)
        return on("edge1", "cat", "/var/log/lynis-report.dat")

    yield report
    started.wait(150)


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
