# SPDX-License-Identifier: Apache-2.0
"""Who listens where, read from this machine's own sockets, and what that says about a container that does not answer."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker import docker_host
from ansible_collections.sluice.stack.plugins.module_utils.docker.sockets import (
    DOCKER_DNS,
    ESTABLISHED,
    LISTEN,
    Socket,
    tcp,
    why_unreachable,
)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_socket_is_found_with_its_address(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert Socket(address, port, LISTEN) in list(tcp(os.getpid()))
        assert port in docker_host.listening_ports()
    assert port not in docker_host.listening_ports()


def test_connections_to_a_port_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert docker_host.open_connections(os.getpid(), port) == 0
        with socket.create_connection(("127.0.0.1", port)):
            assert docker_host.open_connections(os.getpid(), port) == 1


def test_a_process_that_has_ended_has_none() -> None:
    assert list(tcp(2**22 + 1)) == []


def listening(*places: tuple[str, int]) -> list[Socket]:
    """Sockets that listen, with what every container has besides."""
    return [Socket(DOCKER_DNS, 40001, LISTEN), Socket("172.20.0.2", 4000, ESTABLISHED)] + [
        Socket(address, port, LISTEN) for address, port in places
    ]


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ([("0.0.0.0", 4000)], None),
        ([("::", 4000)], None),
        ([("127.0.0.1", 4000), ("172.20.0.2", 4000)], None),
        (
            [("127.0.0.1", 4000), ("127.0.0.1", 9229)],
            "it listens on 127.0.0.1:4000 only, which is not reachable from outside",
        ),
        ([("::1", 4000), ("127.0.0.1", 4000)], "it listens on 127.0.0.1:4000, [::1]:4000 only"),
        (
            [("0.0.0.0", 3000), ("::", 3001)],
            "it listens on 0.0.0.0:3000, [::]:3001 and not on port 4000: correct app_services.<name>.port",
        ),
        ([], "it listens on no port; expected 4000"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(places: list[tuple[str, int]], says: str | None) -> None:
    found = why_unreachable(4000, listening(*places))
    assert found is None if says is None else found is not None and found.startswith(says) and "\n" not in found


def test_listening_for_itself_alone_it_is_told_what_to_do() -> None:
    assert "have it listen on 0.0.0.0" in str(why_unreachable(4000, listening(("127.0.0.1", 4000))))
