# SPDX-License-Identifier: Apache-2.0
"""The edges from outside, and the world around them: the CA, the DNS."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import scenario

ADDRESSES = {"edge1": "10.213.68.11", "edge2": "10.213.68.12", "app1": "10.213.68.31", "world1": "10.213.68.21"}
SHOP = "shop.example.test"


class Edge(scenario.Host):
    """An edge: its program, and what a client sees of it."""

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return ADDRESSES[self.name]

    def certificates(self, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code and answer of its program."""
        return self.program("sluice-certificates", *words)

    def renew(self, *words: str) -> dict[str, Any]:
        """The answer of a renewal that has to go well."""
        code, answer = self.certificates("renew", *words)
        assert code == 0, answer
        return answer

    def shown(self, name: str = SHOP) -> str:
        """The fingerprint of the certificate it shows."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((self.address, 443), 10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()

    def issuer(self, name: str) -> str:
        """Who signed the certificate it shows."""
        return self.must(
            f"openssl s_client -connect {self.address}:443 -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -issuer"
        )

    def problem(self, name: str = SHOP) -> str:
        """What its status says is wrong with a name; the exit code has to say the same."""
        code, answer = self.certificates("status")
        found = {one["name"]: one["problem"] or "" for one in answer["names"]}
        assert code == int(bool(answer["problems"]))
        return found[name]


class World(scenario.Host):
    """The CA and the DNS."""

    def point(self, name: str, *addresses: str) -> None:
        """Let a name lead to addresses."""
        lines = [f"update add {name} 1 A {address}" for address in addresses]
        script = "\n".join(["server 127.0.0.1", f"update delete {name} A", *lines, "send"])
        self.must(f"nsupdate -k <(sed -n '/^key/,/^}}/p' /etc/bind/named.conf.local) <<'END'\n{script}\nEND")
        time.sleep(1.1)  # how long the answer before is good

    def orders(self) -> int:
        """How many certificates the CA was asked for."""
        return int(self.must("journalctl --no-pager -u ca | grep -c 'POST /order-plz' || true"))

    def life(self, seconds: int, *edges: Edge) -> None:
        """Let the CA's certificates be good for that long. It forgets its accounts at that, and these edges theirs."""
        setting = '"certificateValidityPeriod":'
        self.must(f"sed -i 's/{setting} [0-9]*/{setting} {seconds}/' /etc/pebble.json && systemctl restart ca")
        scenario_wait(lambda: self.run("curl -skf https://127.0.0.1:14000/dir").returncode == 0)
        for edge in edges:
            edge.must("rm -rf /var/lib/sluice/certificates/certbot")


def scenario_wait(ask: Any, seconds: float = 60) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.5)


@pytest.fixture(scope="session")
def edge1() -> Edge:
    return Edge("edge1")


@pytest.fixture(scope="session")
def edge2() -> Edge:
    return Edge("edge2")


@pytest.fixture(scope="session")
def world() -> World:
    return World("world1")


@pytest.fixture
def root(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The CA's root, in a file. A CA that starts again has another one."""
    path = tmp_path_factory.mktemp("ca") / "root.pem"
    path.write_text(world.must("curl -skf https://127.0.0.1:15000/roots/0"))
    return str(path)


@pytest.fixture
def away(world: World) -> Iterator[Any]:
    """Let a name lead elsewhere for a while."""
    yield lambda *addresses: world.point(SHOP, *addresses)
    world.point(SHOP, ADDRESSES["edge1"], ADDRESSES["edge2"])


@pytest.fixture
def brief(world: World, edge1: Edge, edge2: Edge) -> Iterator[None]:
    """Have the CA give certificates for 45 seconds for a while."""
    world.life(45, edge1, edge2)
    yield
    world.life(90 * 86400, edge1, edge2)
    edge1.renew("--force")
    edge2.renew()


@contextlib.contextmanager
def stopped(host: scenario.Host, unit: str) -> Iterator[None]:
    """Have a service of a host stopped for a while."""
    host.must(f"systemctl stop {unit}")
    try:
        yield
    finally:
        host.must(f"systemctl start {unit}")


@contextlib.contextmanager
def without_ca(edge: Edge) -> Iterator[None]:
    """Have an edge find nobody at the CA's name for a while. The CA itself would forget its accounts if it were stopped."""
    edge.must("cp /etc/hosts /root/hosts && echo 127.0.0.1 world1.example.test >> /etc/hosts")
    try:
        yield
    finally:
        edge.must("cat /root/hosts > /etc/hosts")


def words(data: Any) -> str:
    """Data as text to look into."""
    return json.dumps(data)
