# SPDX-License-Identifier: Apache-2.0
"""The TCP sockets of a network namespace, to explain why a container does not answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple

ESTABLISHED, LISTEN = "01", "0A"
# Docker's DNS server, in the namespace of every container with its own network.
DOCKER_DNS = "127.0.0.11"


class Socket(NamedTuple):
    """The local end of a socket; ``state`` as in /proc."""

    address: str
    port: int
    state: str


def tcp(pid: int | str = "self") -> Iterator[Socket]:
    """Return the sockets in the network namespace of a process, from /proc/<pid>/net/tcp and tcp6 (proc_pid_net(5)); none when it has ended."""
    for family in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{family}", encoding="ascii") as handle:
                rows = [line.split() for line in handle.readlines()[1:]]
        except OSError:
            continue
        for row in rows:
            address, _unused, port = row[1].rpartition(":")
            yield Socket(_address(address), int(port, 16), row[3])


def _address(text: str) -> str:
    """Parse an address in the format of /proc, four-byte words in machine order (little-endian): ``0100007F``."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def why_unreachable(port: int, sockets: Sequence[Socket]) -> str | None:
    """Return why ``port`` does not answer from outside the container, and what to do, in one line; None when something listens there."""
    listening = [one for one in sockets if one.state == LISTEN and one.address != DOCKER_DNS]
    right = [one for one in listening if one.port == port]
    if any(not ipaddress.ip_address(one.address).is_loopback for one in right):
        return None
    if right:
        return (
            f"it listens on {_shown(right)} only, which is not reachable from outside the container: have it listen on 0.0.0.0 "
            "(in many frameworks HOST=0.0.0.0)"
        )
    if listening:
        return f"it listens on {_shown(listening)} and not on port {port}: correct app_services.<name>.port, or the port it listens on"
    return f"it listens on no port; expected {port}"


def _shown(sockets: Sequence[Socket]) -> str:
    named = sorted({(one.port, f"[{one.address}]" if ":" in one.address else one.address) for one in sockets})
    return ", ".join(f"{address}:{port}" for port, address in named)
