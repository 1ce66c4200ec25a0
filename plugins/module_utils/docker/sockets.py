# SPDX-License-Identifier: Apache-2.0
"""The TCP sockets of a network namespace, and what they say about a container that does not answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple

ESTABLISHED, LISTEN = "01", "0A"
# Docker's own name server, in the namespace of every container that has a network of its own.
DOCKER_DNS = "127.0.0.11"


class Socket(NamedTuple):
    """A socket's own end; ``state`` as /proc has it."""

    address: str
    port: int
    state: str


def tcp(pid: int | str = "self") -> Iterator[Socket]:
    """The sockets in the network namespace of a process, from /proc/<pid>/net/tcp and tcp6 (proc_pid_net(5)); none when it has ended."""
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
    """An address as /proc writes it, words of four bytes in the order of the machine (little-endian wherever we run): ``0100007F``."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def why_unreachable(port: int, sockets: Sequence[Socket]) -> str | None:
    """Why nobody outside a container gets an answer on ``port``, and what to do, in one line; None when something listens there for them."""
    listening = [one for one in sockets if one.state == LISTEN and one.address != DOCKER_DNS]
    right = [one for one in listening if one.port == port]
    if any(not ipaddress.ip_address(one.address).is_loopback for one in right):
        return None
    if right:
        return (
            f"it listens on {_shown(right)} only, which nothing outside the container reaches: have it listen on 0.0.0.0 "
            "(in many frameworks HOST=0.0.0.0)"
        )
    if listening:
        return f"it listens on {_shown(listening)} and not on port {port}: correct app_services.<name>.port, or where it listens"
    return f"it listens on no port; it should on {port}"


def _shown(sockets: Sequence[Socket]) -> str:
    named = sorted({(one.port, f"[{one.address}]" if ":" in one.address else one.address) for one in sockets})
    return ", ".join(f"{address}:{port}" for port, address in named)
