# SPDX-License-Identifier: Apache-2.0
"""One machine in every group: what its public address shows, and what holds it together. What each part promises is tested in shared/tests."""

from __future__ import annotations

import contextlib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from testinfra.host import Host

PUBLIC = "10.213.51.11"
SECONDS = 5
MANAGED = [
    "/etc/redis/sluice.conf",
    "/etc/redis/sluice-password.conf",
    "/etc/postgresql/17/main/pg_hba.conf",
    "/etc/postgresql/17/main/conf.d/sluice.conf",
]


def test_the_edge_answers_and_nothing_is_live_yet() -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{PUBLIC}/", timeout=SECONDS)
    assert caught.value.code in (404, 503)


@pytest.mark.parametrize("port", [5432, 6379])
def test_the_public_address_serves_no_data(port: int) -> None:
    with pytest.raises(TimeoutError):
        socket.create_connection((PUBLIC, port), SECONDS).close()


@pytest.mark.parametrize("unit", ["docker", "postgresql", "redis-server", "nginx"])
def test_all_of_it_comes_back_after_a_reboot(host: Host, unit: str) -> None:
    assert host.service(unit).is_enabled


@pytest.mark.parametrize("unit", ["postgresql@17-main", "redis-server"])
def test_what_listens_on_a_private_address_waits_for_it(host: Host, unit: str) -> None:
    assert "network-online.target" in host.check_output("systemctl show -p After --value %s", f"{unit}.service").split()


@pytest.mark.parametrize("path", MANAGED)
def test_managed_files_say_so_and_are_not_for_everybody(host: Host, path: str) -> None:
    file = host.file(path)
    assert file.content_string.startswith("# managed by sluice.stack\n")
    assert file.mode == 0o640


# In the apps' range, and one that the inventory opens.
PORT, OTHER = 20990, 21990


@contextlib.contextmanager
def listening(host: Host, *ports: int) -> Iterator[None]:
    """Something on the host that accepts connections at ports, on every address."""
    for port in ports:
        host.check_output(f"systemd-run --unit=listen-{port} python3 -m http.server {port}")
    try:
        for port in ports:
            deadline = time.monotonic() + 20
            while not host.socket(f"tcp://0.0.0.0:{port}").is_listening:
                assert time.monotonic() < deadline, port
        yield
    finally:
        for port in ports:
            host.check_output(f"systemctl stop listen-{port}")


def test_only_the_edge_may_connect_to_the_ports_of_apps(host: Host) -> None:
    with listening(host, PORT, OTHER):
        # The control: what is open to everybody can be reached from here.
        socket.create_connection((PUBLIC, OTHER), SECONDS).close()
        with pytest.raises(TimeoutError):
            socket.create_connection((PUBLIC, PORT), SECONDS).close()
        # The edge is on the host itself.
        for address in ("127.0.0.1", PUBLIC):
            assert host.run(f"curl -sf -m {SECONDS} -o /dev/null http://{address}:{PORT}/").rc == 0
